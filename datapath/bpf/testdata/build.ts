import { compileBpf, type CompileOptions } from "../../../scripts/compile_bpf.ts";

/** The object file of `<name>.bpf.c` in this folder, compiled as the product's are. */
export function compile(name: string, options: CompileOptions = {}): Uint8Array<ArrayBuffer> {
  return compileBpf(new URL(`${name}.bpf.c`, import.meta.url).pathname, options);
}

/** The one way that eBPF programs are compiled, for the product, its generated code and its tests. */

/** Where Debian keeps <asm/types.h>, which clang -target bpf does not look for. */
const ASM_INCLUDE = `/usr/include/${Deno.build.arch}-linux-gnu`;

export interface CompileOptions {
  includes?: string[];
  /** Whether the object tells its types. @default {true} */
  btf?: boolean;
}

/**
 * Compiles C to an object file without DWARF.
 * @param source a path ending in .c, or C text
 * @throws Error with the compiler's messages
 */
export function compileBpf(
  source: string,
  { includes = [], btf = true }: CompileOptions = {},
): Uint8Array<ArrayBuffer> {
  const directory = Deno.makeTempDirSync();
  try {
    let file = source;
    if (!source.endsWith(".c")) Deno.writeTextFileSync(file = `${directory}/text.c`, source);
    const object = `${directory}/object.o`;
    run("clang-19", [
      ...["-target", "bpf", "-mcpu=v3", "-O2", "-fno-strict-aliasing", "-Wall", "-Werror"],
      ...btf ? ["-g"] : [],
      `-D__TARGET_ARCH_${Deno.build.arch === "x86_64" ? "x86" : "arm64"}`,
      ...["-isystem", ASM_INCLUDE],
      ...includes.flatMap((path) => ["-I", path]),
      ...["-c", file, "-o", object],
    ]);
    run("llvm-strip-19", ["-g", object]);
    return Deno.readFileSync(object);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function run(program: string, args: string[]): void {
  const { success, stderr } = new Deno.Command(program, { args }).outputSync();
  if (!success) throw new Error(`${program} failed:\n${new TextDecoder().decode(stderr)}`);
}

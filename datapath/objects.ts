/** Where the compiled eBPF objects come from: `dist/bpf` of the checkout, or the compiled program itself. */

let folder = new URL("../dist/bpf/", import.meta.url);

/** Names of the objects, one a file of bpf/. */
export type ObjectName =
  | "pod"
  | "host"
  | "overlay"
  | "xdp"
  | "socket"
  | "sockmap"
  | "probe"
  | "garbage";

/** Names the folder, inside the compiled program, that holds the objects. */
export function setEmbeddedObjects(url: URL): void {
  folder = url;
}

/** The bytes of an object. Throws Error that says how to build it when it is missing. */
export function readObject(name: ObjectName): Uint8Array<ArrayBuffer> {
  try {
    return Deno.readFileSync(new URL(`${name}.bpf.o`, folder));
  } catch (cause) {
    throw new Error(`Cannot read eBPF object ${name}: run scripts/build.sh`, { cause });
  }
}

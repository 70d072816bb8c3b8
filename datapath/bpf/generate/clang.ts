/** C compiled with the clang that is installed. */

/** The object of a C file, with BTF. Throws Error with clang's messages, or when there is none. */
export function compileC(path: string): Uint8Array<ArrayBuffer> {
  const directory = Deno.makeTempDirSync();
  const object = `${directory}/object.o`;
  const { arch } = Deno.build;
  const args = [
    ...["-target", "bpf", `-D__TARGET_ARCH_${arch === "x86_64" ? "x86" : "arm64"}`, "-O2", "-g"],
    ...["-isystem", `/usr/include/${arch}-linux-gnu`, "-c", path, "-o", object],
  ];
  try {
    for (const clang of ["clang", "clang-19", "clang-14"]) {
      try {
        const { success, stderr } = new Deno.Command(clang, { args }).outputSync();
        if (!success) throw new Error(new TextDecoder().decode(stderr));
        return Deno.readFileSync(object);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    throw new Error("No clang is installed (Debian: apt install clang libbpf-dev)");
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

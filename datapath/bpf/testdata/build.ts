/** Compiles the sample programs for tests: into memory, by the clang that builds the product. */

/** The object file of `<name>.bpf.c` in this folder. */
export function compile(name: string): Uint8Array<ArrayBuffer> {
  const source = new URL(`${name}.bpf.c`, import.meta.url).pathname;
  const directory = Deno.makeTempDirSync();
  const run = (program: string, ...args: string[]) => {
    const { success, stderr } = new Deno.Command(program, { args }).outputSync();
    if (!success) throw new Error(`${program} failed: ${new TextDecoder().decode(stderr)}`);
  };
  try {
    const object = `${directory}/${name}.o`;
    const include = "/usr/include/x86_64-linux-gnu"; // asm/types.h
    run(
      "clang-19",
      ..."-target bpf -O2 -g -mcpu=v3 -Wall -Werror -c".split(" "),
      "-isystem",
      include,
      "-o",
      object,
      source,
    );
    run("llvm-strip-19", "-g", object);
    return Deno.readFileSync(object);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

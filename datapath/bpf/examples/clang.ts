/** The examples' C programs, compiled when they are run. */

const INCLUDE = `/usr/include/${Deno.build.arch}-linux-gnu`;

/** The object of `<name>.bpf.c` in this folder. Throws Error with clang's messages. */
export function compile(name: string): Uint8Array {
  const source = new URL(`${name}.bpf.c`, import.meta.url).pathname;
  const directory = Deno.makeTempDirSync();
  const object = `${directory}/${name}.o`;
  try {
    const target = [
      "-target",
      "bpf",
      `-D__TARGET_ARCH_${Deno.build.arch === "x86_64" ? "x86" : "arm64"}`,
    ];
    const args = [...target, "-O2", "-g", "-isystem", INCLUDE, "-c", source, "-o", object];
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

/** Waits so many seconds, or until Ctrl-C where none are given, and calls `each` every second. */
export async function everySecond(seconds: string | undefined, each: () => void): Promise<void> {
  const stop = Promise.withResolvers<void>();
  const end = () => stop.resolve();
  Deno.addSignalListener("SIGINT", end);
  const timer = setInterval(each, 1000);
  const limit = seconds === undefined ? undefined : setTimeout(end, Number(seconds) * 1000);
  await stop.promise;
  clearInterval(timer);
  clearTimeout(limit);
  Deno.removeSignalListener("SIGINT", end);
  each();
}

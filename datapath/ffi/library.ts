/**
 * Where the native libraries come from: the node's own when run from source, the embedded copies in
 * a compiled program.
 */

import { ERRNO, KernelError } from "../kernel_error.ts";

/** Dependencies first: each finds what it needs already loaded, by its soname. */
const EMBEDDED = ["libz.so.1", "libelf.so.1", "libbpf.so.1"] as const;

/** In the compiled program, beside the bundle. */
const FOLDER = new URL("./lib/", import.meta.url);

const keepLoaded: unknown[] = [];

/**
 * Opens libbpf.so.1 with the given symbols.
 *
 * Embedded libraries are written to a fresh 0700 directory under /run, opened and removed at once:
 * Deno's own extraction uses predictable names in /tmp, where anybody could be first.
 */
export function openLibbpf<S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Deno.DynamicLibrary<S> {
  if (!Deno.build.standalone) {
    try {
      return Deno.dlopen("libbpf.so.1", symbols);
    } catch (cause) {
      throw new Error("Cannot load libbpf.so.1: install it (Debian: apt install libbpf1)", {
        cause,
      });
    }
  }
  const directory = freshDirectory();
  try {
    for (const name of EMBEDDED) {
      const bytes = Deno.readFileSync(new URL(name, FOLDER));
      Deno.writeFileSync(`${directory}/${name}`, bytes, { mode: 0o700, createNew: true });
    }
    for (const name of EMBEDDED.slice(0, -1)) {
      keepLoaded.push(Deno.dlopen(`${directory}/${name}`, {}));
    }
    return Deno.dlopen(`${directory}/libbpf.so.1`, symbols);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** 0700. Only root can make one under /run, and only root can use the library. */
function freshDirectory(): string {
  try {
    return Deno.makeTempDirSync({ dir: "/run", prefix: "pilus-lib-" });
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw new KernelError({
      operation: "load",
      target: "libbpf",
      errno: ERRNO.EACCES,
      hint: "pilus must run as root; use sudo",
    });
  }
}

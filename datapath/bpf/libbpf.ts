/**
 * Where libbpf comes from: the system, a path, or files that a compiled program has within.
 *
 * @module
 */

const keepLoaded: unknown[] = [];
let chosen: string | readonly URL[] = "libbpf.so.1";
let opened = false;

/**
 * Says which libbpf this thread uses: a name that the loader looks for (without this, `libbpf.so.1`), a
 * path, or files, dependencies first. Files are read by Deno, so those count that
 * `deno compile --include` puts into a program. The library is loaded when the module `.` is imported:
 * call this in a module of its own, which the program imports before that one. Throws TypeError when it
 * is too late.
 *
 * ```ts
 * import { useLibbpf } from "./libbpf.ts";
 *
 * useLibbpf(["libz.so.1", "libelf.so.1", "libbpf.so.1"].map((name) => new URL(name, import.meta.url)));
 * ```
 */
export function useLibbpf(library: string | readonly URL[]): void {
  if (opened) {
    throw new TypeError("libbpf is loaded already: choose it in a module that is imported before");
  }
  if (library.length === 0) throw new RangeError("Name a library, or give its files");
  chosen = library;
}

/** Opens the libbpf that was chosen. Throws Error that says how to install it. */
export function openLibbpf<S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Deno.DynamicLibrary<S> {
  if (typeof chosen !== "string") return openFiles(chosen, symbols);
  try {
    return open(chosen, symbols);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new Error(`Cannot load ${chosen}: install it (Debian: apt install libbpf1)`, { cause });
  }
}

function open<S extends Deno.ForeignLibraryInterface>(
  path: string,
  symbols: S,
): Deno.DynamicLibrary<S> {
  const library = Deno.dlopen(path, symbols);
  opened = true;
  return library;
}

/**
 * From memory files: Deno's own extraction uses predictable names in /tmp, where anybody could be first,
 * and a process that is killed leaves files of any other.
 */
function openFiles<S extends Deno.ForeignLibraryInterface>(
  urls: readonly URL[],
  symbols: S,
): Deno.DynamicLibrary<S> {
  const { symbols: libc } = Deno.dlopen("libc.so.6", {
    memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  });
  /** A file in memory with the library; it has no name and goes with its descriptor. */
  const memoryFile = (url: URL): number => {
    const bytes = Deno.readFileSync(url), name = new TextEncoder().encode("library\0");
    const MFD_CLOEXEC = 1;
    const fd = libc.memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) throw new Error(`Cannot make a memory file for ${url}: memfd_create failed`);
    Deno.writeFileSync(`/proc/self/fd/${fd}`, bytes);
    return fd;
  };
  const files: number[] = [];
  try {
    // all open at the same time: the loader knows a library by its path, and that is the descriptor's
    for (const url of urls) files.push(memoryFile(url));
    const paths = files.map((fd) => `/proc/self/fd/${fd}`);
    for (const path of paths.slice(0, -1)) keepLoaded.push(Deno.dlopen(path, {}));
    return open(paths.at(-1)!, symbols);
  } finally {
    for (const fd of files) libc.close(fd);
  }
}

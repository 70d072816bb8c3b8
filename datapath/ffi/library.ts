/**
 * Where the native libraries come from: the embedded copies in a program that was compiled with them,
 * else the node's own.
 */

import { cstring } from "./memory.ts";

/** Dependencies first: each finds what it needs already loaded, by its soname. */
const EMBEDDED = ["libz.so.1", "libelf.so.1", "libbpf.so.1"] as const;

/** In the compiled program, beside the bundle. */
const FOLDER = new URL("./lib/", import.meta.url);

const libc = Deno.dlopen("libc.so.6", {
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
});

const keepLoaded: unknown[] = [];

/**
 * Opens libbpf.so.1 with the given symbols.
 *
 * Embedded libraries are opened from memory files: Deno's own extraction uses predictable names in
 * /tmp, where anybody could be first, and a process that is killed leaves files of any other.
 */
export function openLibbpf<S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Deno.DynamicLibrary<S> {
  if (!isEmbedded()) {
    try {
      return Deno.dlopen("libbpf.so.1", symbols);
    } catch (cause) {
      throw new Error("Cannot load libbpf.so.1: install it (Debian: apt install libbpf1)", {
        cause,
      });
    }
  }
  // all open at the same time: the loader knows a library by its path, and that is the descriptor's
  const files = EMBEDDED.map(memoryFile);
  try {
    const [z, elf, bpf] = files.map((fd) => `/proc/self/fd/${fd}`);
    for (const path of [z!, elf!]) keepLoaded.push(Deno.dlopen(path, {}));
    return Deno.dlopen(bpf!, symbols);
  } finally {
    for (const fd of files) libc.symbols.close(fd);
  }
}

/** Whether the program was compiled with the libraries: another program that imports this may not be. */
function isEmbedded(): boolean {
  if (!Deno.build.standalone) return false;
  try {
    return Deno.statSync(new URL("libbpf.so.1", FOLDER)).isFile;
  } catch {
    return false;
  }
}

/** A file in memory with an embedded library; it has no name and goes with its descriptor. */
function memoryFile(name: string): number {
  const MFD_CLOEXEC = 1;
  const fd = libc.symbols.memfd_create(cstring(name), MFD_CLOEXEC);
  if (fd < 0) throw new Error(`Cannot make a memory file for ${name}: memfd_create failed`);
  Deno.writeFileSync(`/proc/self/fd/${fd}`, Deno.readFileSync(new URL(name, FOLDER)));
  return fd;
}

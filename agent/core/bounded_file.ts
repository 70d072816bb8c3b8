/** Files by paths from outside: none can make the reader wait, or fill its memory. */

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** How {@linkcode readBounded} reads. */
export interface ReadBoundedOptions {
  /** The most bytes that the file may have. */
  maxBytes: number;
  /** Whether the path may be a link. */
  followLinks: boolean;
  /** What the path is, when that has just been looked at. */
  info?: Deno.FileInfo;
}

const decoder = new TextDecoder();

/**
 * The text of a regular file. Throws Error for anything else, as a FIFO or a device, and for a file that
 * is too large, Deno.errors.NotFound,
 * otherwise what the file system says.
 */
export function readBounded(path: string, options: ReadBoundedOptions): string {
  const { maxBytes, followLinks } = options;
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  // looked at before it is opened, as older runtimes leave out the flags; they are for what comes between
  const there = options.info ?? (followLinks ? Deno.statSync(path) : Deno.lstatSync(path));
  if (!there.isFile) throw new Error("it is no regular file");
  const fd = open(path, O_RDONLY | O_NONBLOCK | (followLinks ? 0 : O_NOFOLLOW));
  try {
    const info = fstatSync(fd);
    if (!info.isFile() || info.ino !== there.ino) throw new Error("it is no regular file");
    if (info.size > maxBytes) throw tooLarge(info.size, maxBytes);
    // it may grow while it is read, or not say how large it is
    let bytes = new Uint8Array(Math.min(info.size, maxBytes) + 1);
    let length = 0;
    while (length <= maxBytes) {
      if (length === bytes.length) {
        const more = new Uint8Array(Math.min(2 * length, maxBytes) + 1);
        more.set(bytes);
        bytes = more;
      }
      const read = readSync(fd, bytes, length, bytes.length - length, null);
      length += read;
      // all of it, with room for more: no second read only to find the end
      if (read === 0 || length === info.size && length < bytes.length) break;
    }
    if (length > maxBytes) throw tooLarge(length, maxBytes);
    return decoder.decode(bytes.subarray(0, length));
  } finally {
    closeSync(fd);
  }
}

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
    throw new Deno.errors.NotFound((error as Error).message);
  }
}

function tooLarge(size: number, maxBytes: number): Error {
  return new Error(`it has ${size} bytes, and ${maxBytes} is the most; make it several files`);
}

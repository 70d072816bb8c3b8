/** Maps made at run time, without an object. */

import { FileDescriptor, pageSize } from "./ffi/libc.ts";
import { libbpf } from "./ffi/libbpf.ts";
import { cstring } from "./ffi/memory.ts";
import { ERRNO } from "./kernel_error.ts";
import { MapFlag, MapType } from "./constants.ts";
import { checkBpf } from "./errors.ts";
import type { MapLayout } from "./map_layout.ts";

/** BPF_OBJ_NAME_LEN, with its NUL. */
const NAME_LENGTH = 16;

/** A map to create. */
export interface MapOptions extends Omit<MapLayout, "flags"> {
  /** At most 15 characters of [A-Za-z0-9_.]. */
  name: string;
  /** Of `MapFlag`. @default {0} */
  flags?: number;
  /** Of an ARRAY_OF_MAPS or HASH_OF_MAPS: a map with the layout of those that it will hold. */
  inner?: { readonly fd: number };
  /** map_extra: the hash functions of a BLOOM_FILTER. @default {0n} */
  extra?: bigint;
}

/** Throws RangeError for a name that the kernel does not take, KernelError. */
export function createMapFd(options: MapOptions): FileDescriptor {
  const { name, type, keySize, valueSize, maxEntries, flags = 0, inner, extra = 0n } = options;
  if (!/^[A-Za-z0-9_.]*$/.test(name) || name.length >= NAME_LENGTH) {
    throw new RangeError(
      `A map's name has at most ${NAME_LENGTH - 1} letters, digits, "_" and ".": not ${
        JSON.stringify(name)
      }`,
    );
  }
  const opts = new DataView(new ArrayBuffer(56)); // struct bpf_map_create_opts
  opts.setBigUint64(0, 56n, true);
  if (inner) opts.setUint32(24, inner.fd, true);
  opts.setUint32(28, flags, true);
  opts.setBigUint64(32, extra, true);
  const fd = libbpf.bpf_map_create(
    type,
    cstring(name),
    keySize,
    valueSize,
    maxEntries,
    new Uint8Array(opts.buffer),
  );
  return new FileDescriptor(checkBpf(fd, "create map", name, hintOf(fd, options)));
}

/** What the kernel means by EINVAL; undefined: it does not say. */
function hintOf(result: number, options: MapOptions): string | undefined {
  if (result === -ERRNO.E2BIG) return "it is larger than the kernel allows";
  if (result !== -ERRNO.EINVAL) return undefined;
  const { type, keySize, valueSize, maxEntries, flags = 0 } = options;
  const page = pageSize();
  const ring = type === MapType.RINGBUF || type === MapType.USER_RINGBUF;
  if (ring && (keySize !== 0 || valueSize !== 0)) {
    return "a ring buffer has keys and values of 0 bytes";
  }
  if (ring && (maxEntries % page !== 0 || (maxEntries & maxEntries - 1) !== 0)) {
    return `a ring buffer has a power of 2 of bytes, a multiple of ${page}`;
  }
  if (type === MapType.LPM_TRIE && !(flags & MapFlag.NO_PREALLOC)) {
    return "an LPM trie wants the flag NO_PREALLOC";
  }
  if ((type === MapType.ARRAY || type === MapType.PERCPU_ARRAY) && keySize !== 4) {
    return "keys of an array have 4 bytes";
  }
  const ofMaps = type === MapType.ARRAY_OF_MAPS || type === MapType.HASH_OF_MAPS;
  if (ofMaps && !options.inner) return "a map of maps wants an inner map";
  if (maxEntries === 0) return "it has no entries";
  return undefined;
}

/** Objects as libbpf reads them from memory. */

import { libbpf } from "./ffi/libbpf.ts";
import { cstring, NativeMemory } from "./ffi/memory.ts";
import { Btf } from "./btf.ts";

/** Opens the bytes of a file, which must live as long as the object; null on failure, with errno set. */
export function openMemory(file: Uint8Array<ArrayBuffer>, name: string): Deno.PointerValue {
  return libbpf.bpf_object__open_mem(file, BigInt(file.length), openOptions(name));
}

/** The types that libbpf has read of the object. */
export function typesOf(object: Deno.PointerValue): Btf {
  const btf = libbpf.bpf_object__btf(object), size = new Uint32Array(1);
  const blob = btf && libbpf.btf__raw_data(btf, size);
  if (!blob) return Btf.none();
  return Btf.parse(new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(blob, size[0]!)));
}

let optionsName: NativeMemory | undefined; // libbpf copies it during the call

/** struct bpf_object_open_opts with the name. */
function openOptions(name: string): Uint8Array<ArrayBuffer> {
  const text = cstring(name.slice(0, 63));
  optionsName ??= new NativeMemory(64);
  optionsName.bytes.fill(0);
  optionsName.bytes.set(text);
  const view = new DataView(new ArrayBuffer(80)); // struct bpf_object_open_opts
  view.setBigUint64(0, 80n, true);
  view.setBigUint64(8, optionsName.address, true);
  return new Uint8Array(view.buffer);
}

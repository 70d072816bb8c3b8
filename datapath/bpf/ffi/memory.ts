/** Memory that FFI owns, C strings and pointers. Nothing above this folder sees a pointer. */

const libc = Deno.dlopen("libc.so.6", {
  calloc: { parameters: ["usize", "usize"], result: "pointer" },
  free: { parameters: ["pointer"], result: "void" },
}).symbols;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Zeroed memory outside the JavaScript heap. Required wherever a pointer outlives the call: the
 * backing store of a JavaScript buffer may be freed under a non-blocking call.
 */
export class NativeMemory implements Disposable {
  readonly size: number;
  readonly pointer: Deno.PointerObject;
  /** The memory itself, valid until disposed. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;

  constructor(size: number) {
    const pointer = libc.calloc(1n, BigInt(Math.max(size, 1)));
    if (pointer === null) throw new RangeError(`Cannot allocate ${size} bytes outside the heap`);
    this.size = size;
    this.pointer = pointer;
    const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, size);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** The address as a number, for kernel structures that hold pointers. */
  get address(): bigint {
    return Deno.UnsafePointer.value(this.pointer);
  }

  [Symbol.dispose](): void {
    libc.free(this.pointer);
  }
}

/** `text` as a NUL-terminated UTF-8 string. Throws TypeError when it holds a NUL itself. */
export function cstring(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) throw new TypeError(`String holds a NUL byte: ${JSON.stringify(text)}`);
  return encoder.encode(text + "\0") as Uint8Array<ArrayBuffer>;
}

/** The NUL-terminated string at the start of `bytes`. */
export function fromCstring(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** The address of a buffer's first byte, valid only during a synchronous call that also takes the buffer. */
export function addressOf(buffer: BufferSource): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer as Uint8Array<ArrayBuffer>));
}

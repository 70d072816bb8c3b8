/** Global variables of an object, before it is loaded and while its programs run. */

import { Mapping, pageSize, PROT_READ, PROT_WRITE } from "./ffi/libc.ts";
import type { Btf } from "./btf.ts";
import { type BtfValue, readValue, writeValue } from "./btf_value.ts";
import type { Codec } from "./codec.ts";
import { MapFlag } from "./constants.ts";
import type { BpfMap } from "./map.ts";

/** Where the bytes of a section are. */
export interface SectionMemory extends Disposable {
  /** Copies `length` bytes from `offset`. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  write(offset: number, bytes: Uint8Array): void;
}

/** The section of an object that is not loaded: `bytes` throws when the object is disposed of. */
export function initialMemory(bytes: () => Uint8Array): SectionMemory {
  return {
    read: (offset, length) => bytes().slice(offset, offset + length),
    write: (offset, value) => bytes().set(value, offset),
    [Symbol.dispose]() {},
  };
}

/** The map of a loaded section: shared with its programs where the kernel maps it. Takes the map over. */
export function loadedMemory(map: BpfMap): SectionMemory {
  const key = new Uint8Array(4);
  if (!(map.flags & MapFlag.MMAPABLE)) {
    return {
      read: (offset, length) =>
        map.get(key)!.slice(offset, offset + length) as Uint8Array<ArrayBuffer>,
      write(offset, value) {
        const whole = map.get(key)!;
        whole.set(value, offset);
        map.set(key, whole);
      },
      [Symbol.dispose]: () => map[Symbol.dispose](),
    };
  }
  const page = pageSize();
  const writable = !(map.flags & MapFlag.RDONLY_PROG);
  const size = Math.ceil(map.valueSize / page) * page;
  const mapping = new Mapping(
    map.fd,
    size,
    writable ? PROT_READ | PROT_WRITE : PROT_READ,
    0,
    map.name,
  );
  let bytes: Uint8Array | undefined = new Uint8Array(mapping.buffer, 0, map.valueSize);
  const open = () => {
    if (!bytes) throw new TypeError(`Section ${map.name} is closed`);
    return bytes;
  };
  return {
    read: (offset, length) => open().slice(offset, offset + length) as Uint8Array<ArrayBuffer>,
    write(offset, value) {
      if (!writable) throw new TypeError(`Constants of ${map.name} are fixed when it is loaded`);
      open().set(value, offset);
    },
    [Symbol.dispose]() {
      bytes = undefined;
      mapping[Symbol.dispose]();
      map[Symbol.dispose]();
    },
  };
}

/** A variable whose values are those of a codec. */
export interface TypedVariable<T> {
  /** Its value now. Throws TypeError when the object is disposed of. */
  get(): T;
  /** Throws TypeError for a constant of a loaded object, RangeError for a value that does not fit. */
  set(value: T): void;
}

/** A variable. It lives as long as its object. */
export class BpfVariable {
  /** As in C. */
  readonly name: string;
  /** Of `.data`, `.bss`, `.rodata` …. */
  readonly section: string;
  /** Bytes. */
  readonly size: number;
  readonly #btf: Btf;
  readonly #type: number;
  readonly #offset: number;
  readonly #memory: () => SectionMemory;

  /** By an object; see BpfObject.variable. */
  constructor(
    btf: Btf,
    { name, section, type, offset, size }: ReturnType<Btf["variables"]>[number],
    memory: () => SectionMemory,
  ) {
    this.name = name;
    this.section = section;
    this.size = size;
    this.#btf = btf;
    this.#type = type;
    this.#offset = offset;
    this.#memory = memory;
  }

  /** Its value now. Throws TypeError when the object is disposed of. */
  get(): BtfValue {
    const bytes = this.getBytes();
    return readValue(this.#btf, this.#type, new DataView(bytes.buffer), 0);
  }

  /**
   * Sets it; members of a struct that are not named stay. Throws TypeError for a constant of a loaded
   * object and a value of another kind, RangeError for one that does not fit.
   */
  set(value: BtfValue): void {
    const bytes = this.getBytes();
    writeValue(this.#btf, this.#type, new DataView(bytes.buffer), 0, value);
    this.setBytes(bytes);
  }

  /** The variable by a codec. Throws TypeError when the codec's size is not the variable's. */
  typed<T>(codec: Codec<T>): TypedVariable<T> {
    if (codec.size !== this.size) {
      throw new TypeError(
        `Variable ${this.name} has ${this.size} bytes, and values of the codec ${codec.size}`,
      );
    }
    return {
      get: () => codec.decode(new DataView(this.getBytes().buffer), 0),
      set: (value) => {
        const bytes = this.getBytes();
        codec.encode(new DataView(bytes.buffer), 0, value);
        this.setBytes(bytes);
      },
    };
  }

  /** A copy of its bytes. */
  getBytes(): Uint8Array<ArrayBuffer> {
    return this.#memory().read(this.#offset, this.size);
  }

  /** Throws RangeError when there are not as many as the variable has. */
  setBytes(bytes: Uint8Array): void {
    if (bytes.length !== this.size) {
      throw new RangeError(
        `Variable ${this.name} has ${this.size} bytes, and ${bytes.length} were given`,
      );
    }
    this.#memory().write(this.#offset, bytes);
  }
}

/**
 * BTF, the type information of eBPF objects, parsed from an ELF file or from the raw blob
 * (kernel: Documentation/bpf/btf.rst).
 */

/** A type that holds no other. `size` in bytes, 0 for void. */
export interface BtfInt {
  kind: "int";
  name: string;
  size: number;
  signed: boolean;
  bool: boolean;
}

export interface BtfMember {
  /** "" for an anonymous struct or union. */
  name: string;
  /** Type id. */
  type: number;
  /** From the start of the struct, in bits. */
  bitOffset: number;
  /** 0 when the member is no bitfield. */
  bitSize: number;
}

export interface BtfStruct {
  kind: "struct" | "union";
  name: string;
  size: number;
  members: BtfMember[];
}

export interface BtfEnum {
  kind: "enum";
  name: string;
  size: number;
  signed: boolean;
  values: { name: string; value: bigint }[];
}

export interface BtfArray {
  kind: "array";
  name: "";
  /** Type id of the elements. */
  type: number;
  length: number;
}

/** A type that is another by a different name or with a qualifier, or points to it. */
export interface BtfReference {
  kind: "ptr" | "typedef" | "volatile" | "const" | "restrict" | "type_tag" | "func";
  name: string;
  type: number;
}

export interface BtfVar {
  kind: "var";
  name: string;
  type: number;
}

/** A section of variables. */
export interface BtfDatasec {
  kind: "datasec";
  name: string;
  size: number;
  /** `type` is the id of a BtfVar. Offsets are 0 in a file that libbpf has not opened yet. */
  variables: { type: number; offset: number; size: number }[];
}

/** A remark on a type, variable, function (`component` -1) or on a member of it. */
export interface BtfDeclTag {
  kind: "decl_tag";
  name: string;
  type: number;
  component: number;
}

export interface BtfOther {
  kind: "void" | "fwd" | "func_proto" | "float";
  name: string;
  size: number;
}

export type BtfType =
  | BtfInt
  | BtfStruct
  | BtfEnum
  | BtfArray
  | BtfReference
  | BtfVar
  | BtfDatasec
  | BtfDeclTag
  | BtfOther;

/** One attribute of a BTF-style map definition (`__uint`, `__type`). */
export interface BtfMapDefinition {
  name: string;
  type: number;
  maxEntries: number;
  flags: number;
  /** Type id, when given by `__type(key, …)`. */
  key?: number;
  /** Type id, when given by `__type(value, …)`. */
  value?: number;
  keySize: number;
  valueSize: number;
  /** Whether it says `__uint(pinning, LIBBPF_PIN_BY_NAME)`. */
  pinned: boolean;
}

const BTF_MAGIC = 0xeb9f;
const decoder = new TextDecoder();

/** The types of an object, by id. */
export class Btf {
  /** Indexed by type id; 0 is void. */
  readonly types: readonly BtfType[];
  #tags = new Map<number, { component: number; text: string }[]>();

  private constructor(types: BtfType[]) {
    this.types = types;
    for (const type of types) {
      if (type.kind !== "decl_tag") continue;
      const list = this.#tags.get(type.type) ?? [];
      list.push({ component: type.component, text: type.name });
      this.#tags.set(type.type, list);
    }
  }

  /** Parses the raw blob. Throws SyntaxError when it is none. */
  static parse(blob: Uint8Array): Btf {
    return new Btf(parseTypes(blob));
  }

  /** Parses the `.BTF` section of an ELF file. Throws SyntaxError when there is none. */
  static fromElf(file: Uint8Array): Btf {
    return Btf.parse(elfSection(file, ".BTF"));
  }

  /** The type with this id. Throws RangeError when there is none. */
  type(id: number): BtfType {
    const type = this.types[id];
    if (!type) throw new RangeError(`BTF has no type ${id}`);
    return type;
  }

  /** The type without typedefs and qualifiers. */
  resolve(id: number): BtfType {
    return this.type(this.resolveId(id));
  }

  /** The id of the type without typedefs and qualifiers. */
  resolveId(id: number): number {
    for (;;) {
      const type = this.type(id);
      switch (type.kind) {
        case "typedef":
        case "volatile":
        case "const":
        case "restrict":
        case "type_tag":
          id = type.type;
          break;
        default:
          return id;
      }
    }
  }

  /** Bytes of a value of this type. */
  sizeOf(id: number): number {
    const type = this.resolve(id);
    switch (type.kind) {
      case "ptr":
        return 8;
      case "array":
        return type.length * this.sizeOf(type.type);
      case "int":
      case "struct":
      case "union":
      case "enum":
      case "datasec":
      case "float":
        return type.size;
      default:
        return 0;
    }
  }

  /** The first type of the given name and kind. */
  find<K extends BtfType["kind"]>(
    kind: K,
    name: string,
  ): { id: number; type: Extract<BtfType, { kind: K }> } | undefined {
    for (let id = 0; id < this.types.length; id++) {
      const type = this.types[id]!;
      if (type.kind === kind && type.name === name) {
        return { id, type: type as Extract<BtfType, { kind: K }> };
      }
    }
    return undefined;
  }

  /** The declaration tags of a type or variable; of one of its members when `component` is given. */
  tags(id: number, component = -1): string[] {
    return (this.#tags.get(id) ?? []).filter((t) => t.component === component).map((t) => t.text);
  }

  /** The variables of the sections whose name begins with `prefix`, ".rodata". */
  variables(prefix: string): {
    section: string;
    name: string;
    id: number;
    type: number;
    offset: number;
    size: number;
  }[] {
    return this.types.flatMap((section) => {
      if (section.kind !== "datasec" || !section.name.startsWith(prefix)) return [];
      return section.variables.map(({ type: id, offset, size }) => {
        const variable = this.type(id) as BtfVar;
        const { name, type } = variable;
        return { section: section.name, name, id, type, offset, size: size || this.sizeOf(type) };
      });
    });
  }

  /** The maps of section `.maps`. */
  maps(): BtfMapDefinition[] {
    return this.variables(".maps").map(({ name, type }) => {
      const definition = this.resolve(type) as BtfStruct;
      const map: BtfMapDefinition = {
        name,
        type: 0,
        maxEntries: 0,
        flags: 0,
        keySize: 0,
        valueSize: 0,
        pinned: false,
      };
      for (const member of definition.members) {
        const pointer = this.resolve(member.type);
        if (pointer.kind !== "ptr") continue;
        const target = this.resolve(pointer.type);
        const number = target.kind === "array" ? target.length : 0; // __uint(name, number)
        switch (member.name) {
          case "type":
            map.type = number;
            break;
          case "max_entries":
            map.maxEntries = number;
            break;
          case "map_flags":
            map.flags = number;
            break;
          case "key_size":
            map.keySize = number;
            break;
          case "value_size":
            map.valueSize = number;
            break;
          case "pinning":
            map.pinned = number === 1;
            break;
          case "key":
            map.key = pointer.type;
            map.keySize = this.sizeOf(pointer.type);
            break;
          case "value":
            map.value = pointer.type;
            map.valueSize = this.sizeOf(pointer.type);
            break;
        }
      }
      return map;
    });
  }
}

function parseTypes(blob: Uint8Array): BtfType[] {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  if (blob.length < 24 || view.getUint16(0, true) !== BTF_MAGIC) {
    throw new SyntaxError("Not little-endian BTF: the magic number is missing");
  }
  const headerLength = view.getUint32(4, true);
  const typesAt = headerLength + view.getUint32(8, true);
  const typesEnd = typesAt + view.getUint32(12, true);
  const stringsAt = headerLength + view.getUint32(16, true);
  const string = (offset: number): string => {
    const start = stringsAt + offset;
    return decoder.decode(blob.subarray(start, blob.indexOf(0, start)));
  };

  const types: BtfType[] = [{ kind: "void", name: "void", size: 0 }];
  let at = typesAt;
  const u32 = () => {
    const value = view.getUint32(at, true);
    at += 4;
    return value;
  };
  while (at < typesEnd) {
    const name = string(u32());
    const info = u32();
    const sizeOrType = u32();
    const count = info & 0xffff, flag = info >>> 31 === 1;
    const repeat = <T>(read: () => T): T[] => Array.from({ length: count }, read);
    switch ((info >>> 24) & 0x1f) {
      case 1: {
        const encoding = u32() >>> 24;
        const signed = (encoding & 1) !== 0, bool = (encoding & 4) !== 0;
        types.push({ kind: "int", name, size: sizeOrType, signed, bool });
        break;
      }
      case 2:
        types.push({ kind: "ptr", name, type: sizeOrType });
        break;
      case 3: {
        const type = u32();
        at += 4; // the index type
        types.push({ kind: "array", name: "", type, length: u32() });
        break;
      }
      case 4:
      case 5: {
        const members = repeat((): BtfMember => {
          const member = string(u32()), type = u32(), offset = u32();
          return {
            name: member,
            type,
            bitOffset: flag ? offset & 0xffffff : offset,
            bitSize: flag ? offset >>> 24 : 0,
          };
        });
        const kind = ((info >>> 24) & 0x1f) === 4 ? "struct" : "union";
        types.push({ kind, name, size: sizeOrType, members });
        break;
      }
      case 6: {
        const values = repeat(() => {
          const name = string(u32()), raw = u32();
          return { name, value: BigInt(flag ? raw | 0 : raw) };
        });
        types.push({ kind: "enum", name, size: sizeOrType, signed: flag, values });
        break;
      }
      case 7:
        types.push({ kind: "fwd", name, size: 0 });
        break;
      case 8:
        types.push({ kind: "typedef", name, type: sizeOrType });
        break;
      case 9:
        types.push({ kind: "volatile", name, type: sizeOrType });
        break;
      case 10:
        types.push({ kind: "const", name, type: sizeOrType });
        break;
      case 11:
        types.push({ kind: "restrict", name, type: sizeOrType });
        break;
      case 12:
        types.push({ kind: "func", name, type: sizeOrType });
        break;
      case 13:
        at += count * 8; // parameters
        types.push({ kind: "func_proto", name, size: 0 });
        break;
      case 14:
        at += 4; // linkage
        types.push({ kind: "var", name, type: sizeOrType });
        break;
      case 15: {
        const variables = repeat(() => ({ type: u32(), offset: u32(), size: u32() }));
        types.push({ kind: "datasec", name, size: sizeOrType, variables });
        break;
      }
      case 16:
        types.push({ kind: "float", name, size: sizeOrType });
        break;
      case 17: {
        const component = u32() | 0;
        types.push({ kind: "decl_tag", name, type: sizeOrType, component });
        break;
      }
      case 18:
        types.push({ kind: "type_tag", name, type: sizeOrType });
        break;
      case 19: {
        const values = repeat(() => {
          const name = string(u32());
          const value = BigInt(u32()) | (BigInt(u32()) << 32n);
          return { name, value: flag ? BigInt.asIntN(64, value) : value };
        });
        types.push({ kind: "enum", name, size: sizeOrType, signed: flag, values });
        break;
      }
      default:
        throw new SyntaxError(`BTF type ${types.length} has the unknown kind ${info >>> 24}`);
    }
  }
  return types;
}

/** The contents of an ELF64 little-endian section. Throws SyntaxError when it is not there. */
export function elfSection(file: Uint8Array, name: string): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 64 || view.getUint32(0, false) !== 0x7f454c46 || file[4] !== 2) {
    throw new SyntaxError("Not a 64-bit ELF file");
  }
  const table = Number(view.getBigUint64(40, true));
  const entrySize = view.getUint16(58, true), count = view.getUint16(60, true);
  const header = (i: number) => {
    const at = table + i * entrySize;
    const offset = Number(view.getBigUint64(at + 24, true));
    return {
      name: view.getUint32(at, true),
      bytes: file.subarray(offset, offset + Number(view.getBigUint64(at + 32, true))),
    };
  };
  const names = header(view.getUint16(62, true)).bytes;
  for (let i = 1; i < count; i++) {
    const section = header(i);
    const end = names.indexOf(0, section.name);
    if (decoder.decode(names.subarray(section.name, end)) === name) return section.bytes;
  }
  throw new SyntaxError(`ELF file has no section ${name}`);
}

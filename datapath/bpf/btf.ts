/** BTF, the type information of eBPF objects: types by id and by name, variables, maps. */

import { parseBtf } from "./btf_parser.ts";
import type { BtfStruct, BtfType, BtfVar } from "./btf_types.ts";
import { elfSection } from "./elf.ts";

/** A map as its BTF-style definition says it (`__uint`, `__type`). */
export interface BtfMapDefinition {
  /** As in C. */
  name: string;
  /** One of `MapType`. */
  type: number;
  /** As `__uint(max_entries, …)` says. */
  maxEntries: number;
  /** Of `MapFlag`. */
  flags: number;
  /** Type id, when given by `__type(key, …)`. */
  key?: number;
  /** Type id, when given by `__type(value, …)`. */
  value?: number;
  /** Bytes. */
  keySize: number;
  /** Bytes. */
  valueSize: number;
  /** Whether it says `__uint(pinning, LIBBPF_PIN_BY_NAME)`. */
  pinned: boolean;
}

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

  /** That of an object without type information: it knows void alone. */
  static none(): Btf {
    return new Btf([{ kind: "void", name: "void", size: 0 }]);
  }

  /** Parses the raw blob. Throws SyntaxError when it is none. */
  static parse(blob: Uint8Array): Btf {
    return new Btf(parseBtf(blob));
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

  /** The id of the type without typedefs and qualifiers. Throws RangeError for a typedef of itself. */
  resolveId(id: number): number {
    for (let at = id, steps = 0; steps < this.types.length; steps++) {
      const type = this.type(at);
      switch (type.kind) {
        case "typedef":
        case "volatile":
        case "const":
        case "restrict":
        case "type_tag":
          at = type.type;
          break;
        default:
          return at;
      }
    }
    throw new RangeError(`BTF type ${id} (${this.type(id).name || "unnamed"}) is made of itself`);
  }

  /** Bytes of a value of this type. Throws RangeError for an array of itself. */
  sizeOf(id: number): number {
    let count = 1;
    for (let at = id, steps = 0; steps < this.types.length; steps++) {
      const type = this.resolve(at);
      switch (type.kind) {
        case "ptr":
          return 8 * count;
        case "array":
          count *= type.length;
          at = type.type;
          break;
        case "int":
        case "struct":
        case "union":
        case "enum":
        case "datasec":
        case "float":
          return type.size * count;
        default:
          return 0;
      }
    }
    throw new RangeError(`BTF type ${id} is an array of itself`);
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

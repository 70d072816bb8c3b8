/**
 * TypeScript for types of BTF: an interface and a codec for each struct. Members named `pad…` are left out
 * and written as zero; a struct with one member is that member. `__be16`, `__be32` and `__be64` are numbers
 * in network order in memory and in host order here.
 */

import type { Btf } from "../btf.ts";
import type { BtfMember, BtfStruct } from "../btf_types.ts";
import {
  bigEndian,
  boolean,
  camel,
  commonPrefix,
  float,
  integer,
  pascal,
  plus,
  type Shape,
  sorted,
} from "./shapes.ts";

/** What codecs are not called: words of TypeScript, and what their code uses. */
const RESERVED = new Set(
  ("break case catch class const continue debugger default delete do else enum export extends false " +
    "finally for function if implements import in instanceof interface let new null package private " +
    "protected public return static super switch this throw true try typeof var void while with yield " +
    "await arguments eval undefined Array view offset value size i u8 u16 u32 u64 bytes text " +
    "readBytes writeBytes readText writeText readBits writeBits signedBits").split(" "),
);
/** What interfaces are not called. */
const USED_TYPES = ["Codec", "DataView", "Uint8Array", "Array"];

/** Declarations of interfaces, codecs and enums for types of BTF. */
export class CodeModule {
  readonly #events: RegExp | undefined;
  readonly #taken: ReadonlySet<string>;
  #declarations = new Map<string, { text: string; btf: Btf }>();
  #structs = new Map<Btf, Map<BtfStruct, Shape>>();
  #imports = new Set<string>();

  /**
   * @param events names of structs whose offsets are declared, too
   * @param taken names that the module has besides
   */
  constructor({ events, taken = [] }: { events?: RegExp; taken?: readonly string[] } = {}) {
    this.#events = events;
    this.#taken = new Set([...taken, ...USED_TYPES]);
  }

  /** Names of `codec.ts` that the declarations use. */
  get imports(): string[] {
    return [...this.#imports].sort();
  }

  /** The declarations, in the order of their names. */
  get declarations(): string[] {
    return sorted(new Map([...this.#declarations].map(([name, { text }]) => [name, text])));
  }

  /** Makes the declarations import a name of `codec.ts`. */
  import(name: string): void {
    this.#imports.add(name);
  }

  /**
   * Declares what `make` says for the name; types of one object that would have the same get a number.
   * Returns the name.
   */
  #declare(name: string, btf: Btf, make: (name: string) => string): string {
    for (let number = 1;; number++) {
      const own = number === 1 ? name : `${name}${number}`;
      if (this.#taken.has(own)) continue;
      const text = make(own), known = this.#declarations.get(own);
      if (known === undefined) this.#declarations.set(own, { text, btf });
      else if (known.text !== text && known.btf === btf) continue;
      else if (known.text !== text) {
        throw new Error(`Objects disagree about ${own}:\n${known.text}\n${text}`);
      }
      return own;
    }
  }

  /** Declares an enum as a constant object. */
  enum(btf: Btf, name: string, values: { name: string; value: bigint }[]): void {
    const prefix = commonPrefix(values.map((v) => v.name));
    const key = (whole: string) => {
      const rest = whole.slice(prefix.length);
      return /^[A-Za-z_$]/.test(rest) ? rest : whole;
    };
    const lines = values.map((v) => `  ${key(v.name)}: ${v.value},`);
    this.#declare(
      pascal(name),
      btf,
      (type) =>
        `/** enum ${name}: ${prefix}… */\nexport const ${type} = {\n${
          lines.join("\n")
        }\n} as const;`,
    );
  }

  /** The codec of a type as an expression; what it needs is declared. */
  codec(btf: Btf, id: number): string {
    const type = btf.resolve(id);
    const shape = this.shape(btf, id);
    if (shape.codec) return shape.codec;
    const simple: Record<string, string> = { u8: "u8", u16: "u16", u32: "u32", u64: "u64" };
    const kind = type.kind === "int" && !type.signed ? simple[`u${type.size * 8}`] : undefined;
    if (kind && !bigEndian(btf, id)) {
      this.#imports.add(kind);
      return kind;
    }
    if (shape.type === "Uint8Array") {
      this.#imports.add("bytes");
      return `bytes(${shape.size})`;
    }
    const at = "view: DataView, offset: number";
    return `{ size: ${shape.size}, encode: (${at}, value: ${shape.type}) => { ${
      shape.write("offset", "value")
    } }, decode: (${at}): ${shape.type} => ${shape.read("offset")} }`;
  }

  /** How a type looks; what it needs is declared. `hint`: its name where it has none. */
  shape(btf: Btf, id: number, hint = ""): Shape {
    const type = btf.resolve(id);
    const size = btf.sizeOf(id);
    switch (type.kind) {
      case "int":
        if (size > 8) return this.#bytes(size);
        return type.bool ? boolean() : integer(size, type.signed, bigEndian(btf, id));
      case "enum":
        return integer(size, type.signed, false);
      case "ptr":
        return integer(size, false, false);
      case "float":
        return float(size);
      case "array": {
        const element = btf.resolve(type.type);
        if (element.kind === "int" && element.name === "char") return this.#text(size);
        if (element.kind === "int" && element.size === 1) return this.#bytes(size);
        return this.#array(this.shape(btf, type.type, hint), type.length);
      }
      case "union":
        return this.#bytes(size);
      case "struct": {
        const only = type.members.length === 1 ? type.members[0]! : undefined;
        if (only && !only.bitSize) return this.shape(btf, only.type, hint);
        let known = this.#structs.get(btf);
        if (!known) this.#structs.set(btf, known = new Map());
        let shape = known.get(type);
        if (!shape) {
          known.set(type, shape = this.#struct(btf, type, type.name || hint || "anonymous"));
        }
        return shape;
      }
      default:
        throw new Error(`Cannot share a ${type.kind} (${type.name}) with user space`);
    }
  }

  #bytes(size: number): Shape {
    this.#imports.add("readBytes").add("writeBytes");
    return {
      type: "Uint8Array",
      size,
      read: (at) => `readBytes(view, ${at}, ${size})`,
      write: (at, value) => `writeBytes(view, ${at}, ${size}, ${value});`,
    };
  }

  #text(size: number): Shape {
    this.#imports.add("readText").add("writeText");
    return {
      type: "string",
      size,
      read: (at) => `readText(view, ${at}, ${size})`,
      write: (at, value) => `writeText(view, ${at}, ${size}, ${value});`,
    };
  }

  #array(element: Shape, length: number): Shape {
    const at = (base: string, i: number) => plus(base, i * element.size);
    const range = [...Array(length).keys()];
    const tuple = length <= 4;
    if (length > 16) {
      const each = (base: string) => `${base} + i * ${element.size}`;
      return {
        type: `${element.type}[]`,
        size: element.size * length,
        read: (base) => `Array.from({ length: ${length} }, (_, i) => ${element.read(each(base))})`,
        write: (base, value) =>
          `for (let i = 0; i < ${length}; i++) ${element.write(each(base), `${value}[i]!`)}`,
      };
    }
    return {
      type: tuple ? `[${range.map(() => element.type).join(", ")}]` : `${element.type}[]`,
      size: element.size * length,
      read: (base) => `[${range.map((i) => element.read(at(base, i))).join(", ")}]`,
      write: (base, value) =>
        range.map((i) => element.write(at(base, i), tuple ? `${value}[${i}]` : `${value}[${i}]!`))
          .join("\n"),
    };
  }

  #struct(btf: Btf, struct: BtfStruct, name: string): Shape {
    const fields: { name: string; type: string; byte: number; read: string; write: string }[] = [];
    const add = (member: BtfMember, base: number) => {
      if (member.name.startsWith("pad")) return;
      const bit = base + member.bitOffset;
      const byte = bit >>> 3;
      const target = btf.resolve(member.type);
      if (member.name === "" && target.kind === "struct") {
        for (const inner of target.members) add(inner, bit);
        return;
      }
      const plain = camel(member.name || "bytes");
      let field = plain;
      for (let i = 2; fields.some((one) => one.name === field); i++) field = `${plain}${i}`;
      if (member.bitSize) {
        const signed = (target.kind === "int" || target.kind === "enum") && target.signed;
        this.#imports.add("readBits").add("writeBits");
        if (signed) this.#imports.add("signedBits");
        const where = `${plus("offset", byte)}, ${bit & 7}, ${member.bitSize}`;
        fields.push({
          name: field,
          type: "number",
          byte,
          read: signed
            ? `signedBits(readBits(view, ${where}), ${member.bitSize})`
            : `readBits(view, ${where})`,
          write: signed
            ? `writeBits(view, ${where}, signedBits(value.${field}, ${member.bitSize}, true));`
            : `writeBits(view, ${where}, value.${field});`,
        });
        return;
      }
      const shape = this.shape(btf, member.type, `${name}_${member.name}`);
      const at = plus("offset", byte);
      fields.push({
        name: field,
        type: shape.type,
        byte,
        read: shape.read(at),
        write: shape.write(at, `value.${field}`),
      });
    };
    for (const member of struct.members) add(member, 0);
    const codecOf = (type: string) => {
      const codec = camel(name) + type.slice(pascal(name).length);
      return RESERVED.has(codec) ? `${codec}Codec` : codec;
    };
    const offsets = (codec: string) =>
      !this.#events?.test(name) ? "" : `

/** Where the fields of struct ${name} are, for who reads only some of them. */
export const ${codec}Offsets = {
${fields.map((f) => `  ${f.name}: ${f.byte},`).join("\n")}
} as const;`;

    const type = this.#declare(
      pascal(name),
      btf,
      (type) =>
        `/** struct ${name}, ${struct.size} bytes. */
export interface ${type} {
${fields.map((f) => `  ${f.name}: ${f.type};`).join("\n")}
}

export const ${codecOf(type)}: Codec<${type}> = {
  size: ${struct.size},
  encode(view, offset, value) {
${fields.map((f) => f.write).join("\n")}
  },
  decode: (view, offset) => ({
${fields.map((f) => `    ${f.name}: ${f.read},`).join("\n")}
  }),
};${offsets(codecOf(type))}`,
    );
    const codec = codecOf(type);
    return {
      type,
      codec,
      size: struct.size,
      read: (at) => `${codec}.decode(view, ${at})`,
      write: (at, value) => `${codec}.encode(view, ${at}, ${value});`,
    };
  }
}

/** The raw blob of BTF, read into types (kernel: Documentation/bpf/btf.rst). */

import type { BtfMember, BtfType } from "./btf_types.ts";

const BTF_MAGIC = 0xeb9f;
const decoder = new TextDecoder();

/** The types in the blob by id; 0 is void. Throws SyntaxError when it is no BTF, or not whole. */
export function parseBtf(blob: Uint8Array): BtfType[] {
  try {
    return parse(blob);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new SyntaxError("BTF ends within a type", { cause: error });
  }
}

function parse(blob: Uint8Array): BtfType[] {
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

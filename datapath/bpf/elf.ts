/** Sections and symbols of ELF files. */

const decoder = new TextDecoder();

/** Types of sections and of symbols, elf.h. */
const SHT_SYMTAB = 2, SHT_DYNSYM = 11, STT_FUNC = 2, STT_GNU_IFUNC = 10, PT_LOAD = 1;
const HEADER_SIZE = 64, SYMBOL_SIZE = 24;

interface Section {
  /** Offset of its name in the section of names. */
  name: number;
  type: number;
  /** The section of its strings, of a symbol table. */
  link: number;
  bytes: Uint8Array;
}

/** Throws SyntaxError when it is no ELF64 file, or not whole. */
function sectionsOf(file: Uint8Array): { view: DataView; sections: Section[]; names: number } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < HEADER_SIZE || view.getUint32(0, false) !== 0x7f454c46 || file[4] !== 2) {
    throw new SyntaxError("Not a 64-bit ELF file");
  }
  const table = Number(view.getBigUint64(40, true));
  const entrySize = view.getUint16(58, true), count = view.getUint16(60, true);
  if (table + entrySize * count > file.length || count > 0 && entrySize < HEADER_SIZE) {
    throw new SyntaxError("ELF file ends within its sections");
  }
  const sections = Array.from({ length: count }, (_, i): Section => {
    const at = table + i * entrySize;
    const offset = Number(view.getBigUint64(at + 24, true));
    return {
      name: view.getUint32(at, true),
      type: view.getUint32(at + 4, true),
      link: view.getUint32(at + 40, true),
      bytes: file.subarray(offset, offset + Number(view.getBigUint64(at + 32, true))),
    };
  });
  return { view, sections, names: view.getUint16(62, true) };
}

function text(strings: Uint8Array, offset: number): string {
  const end = strings.indexOf(0, offset);
  return end < 0 ? "" : decoder.decode(strings.subarray(offset, end));
}

/** The contents of an ELF64 little-endian section. Throws SyntaxError when it is not there. */
export function elfSection(file: Uint8Array, name: string): Uint8Array {
  const { sections, names } = sectionsOf(file);
  const strings = sections[names]?.bytes ?? new Uint8Array(0);
  const section = sections.slice(1).find((one) => text(strings, one.name) === name);
  if (!section) throw new SyntaxError(`ELF file has no section ${name}`);
  return section.bytes;
}

/**
 * Where the function of that name begins in the file of a program or library, in bytes; undefined when
 * its symbol tables do not have it. Throws SyntaxError when it is no ELF64 file.
 */
export function functionOffset(file: Uint8Array, name: string): number | undefined {
  const { view, sections } = sectionsOf(file);
  const wanted = new TextEncoder().encode(`${name}\0`);
  for (const table of sections) {
    if (table.type !== SHT_SYMTAB && table.type !== SHT_DYNSYM) continue;
    const strings = sections[table.link]?.bytes ?? new Uint8Array(0);
    const { bytes } = table;
    const symbols = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at + SYMBOL_SIZE <= bytes.length; at += SYMBOL_SIZE) {
      const type = bytes[at + 4]! & 15, defined = symbols.getUint16(at + 6, true) !== 0;
      if (type !== STT_FUNC && type !== STT_GNU_IFUNC || !defined) continue;
      const start = symbols.getUint32(at, true);
      if (!wanted.every((byte, i) => strings[start + i] === byte)) continue;
      return fileOffset(view, Number(symbols.getBigUint64(at + 8, true)));
    }
  }
  return undefined;
}

/** The offset in the file of what is loaded at an address. */
function fileOffset(view: DataView, address: number): number | undefined {
  const table = Number(view.getBigUint64(32, true));
  const entrySize = view.getUint16(54, true), count = view.getUint16(56, true);
  for (let i = 0; i < count; i++) {
    const at = table + i * entrySize;
    if (at + entrySize > view.byteLength || view.getUint32(at, true) !== PT_LOAD) continue;
    const offset = Number(view.getBigUint64(at + 8, true));
    const start = Number(view.getBigUint64(at + 16, true));
    const size = Number(view.getBigUint64(at + 32, true));
    if (start <= address && address < start + size) return address - start + offset;
  }
  return undefined;
}

/** Sections of ELF files. */

const decoder = new TextDecoder();

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

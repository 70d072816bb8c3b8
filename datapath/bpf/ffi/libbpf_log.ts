/**
 * What libbpf says while it works: its own reasons, of which errno tells little.
 *
 * It gives them to one function of the process, on whichever thread it works. A callback of JavaScript
 * there ends the process, so it is a few instructions that call vdprintf(3) with a pipe.
 */

import { FileDescriptor, Mapping, PROT_EXEC, PROT_READ, read } from "./libc.ts";
import { libbpf } from "./libbpf.ts";
import { addressOf, cstring } from "./memory.ts";

const MOST_LINES = 20;

const { symbols: libc } = Deno.dlopen("libc.so.6", {
  vdprintf: { type: "pointer" },
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
});

/**
 * `int print(int level, const char *format, va_list values)`: at level 0, LIBBPF_WARN, vdprintf(fd, format,
 * values), else 0.
 */
function instructions(fd: number, vdprintf: bigint): Uint8Array<ArrayBuffer> {
  const code = new DataView(new ArrayBuffer(40));
  const put = (hex: string) => {
    new Uint8Array(code.buffer).set(hex.match(/../g)!.map((byte) => parseInt(byte, 16)));
  };
  if (Deno.build.arch === "x86_64") {
    // test edi, edi; jne 0x15; mov edi, fd; movabs rax, vdprintf; jmp rax; 0x15: xor eax, eax; ret
    put("85ff7511bf0000000048b80000000000000000ffe031c0c3");
    code.setInt32(5, fd, true);
    code.setBigUint64(11, vdprintf, true);
  } else {
    // cbnz w0, 0x10; ldr w0, 0x18; ldr x16, 0x20; br x16; 0x10: mov w0, #0; ret; 0x18: fd; 0x20: vdprintf
    put("80000035a0000018d000005800021fd600008052c0035fd6");
    code.setInt32(24, fd, true);
    code.setBigUint64(32, vdprintf, true);
  }
  return new Uint8Array(code.buffer);
}

interface Printer {
  /** Where libbpf's words are read. */
  readonly reader: number;
  readonly pointer: Deno.PointerValue;
}

/** As long as the process: other threads may be printing at any time. None where memory cannot be run. */
function makePrinter(): Printer | undefined {
  const O_NONBLOCK = 0o4000, O_CLOEXEC = 0o2000000, MFD_CLOEXEC = 1;
  const ends = new Int32Array(2);
  if (libc.pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) return undefined;
  const [reader, writer] = ends as unknown as [number, number];
  const code = instructions(writer, Deno.UnsafePointer.value(libc.vdprintf));
  try {
    using file = new FileDescriptor(libc.memfd_create(cstring("print"), MFD_CLOEXEC));
    libc.write(file.fd, code, BigInt(code.length));
    const mapping = new Mapping(file.fd, code.length, PROT_READ | PROT_EXEC, 0, "print");
    const pointer = Deno.UnsafePointer.create(addressOf(mapping.buffer));
    return { reader, pointer };
  } catch {
    return undefined; // as under a policy against it
  }
}

let printer: Printer | null | undefined;
const open = new Set<LibbpfLog>();
const decoder = new TextDecoder();

/** Empties the pipe into the logs that are open. */
function collect(): void {
  if (!printer) return;
  const bytes = new Uint8Array(1 << 16); // as much as the pipe holds
  let length = 0;
  try {
    length = read(printer.reader, bytes, "libbpf's words");
  } catch {
    return; // nothing is there
  }
  const lines = decoder.decode(bytes.subarray(0, length)).trimEnd().split("\n")
    .map((line) => line.replace(/^libbpf: /, ""));
  for (const log of open) log.lines.push(...lines.slice(0, MOST_LINES - log.lines.length));
}

/** The warnings of libbpf until it is disposed of, oldest first; of other threads' calls too. */
export class LibbpfLog implements Disposable {
  /** Complete once it is disposed of. */
  readonly lines: string[] = [];

  constructor() {
    if (printer === undefined) printer = makePrinter() ?? null;
    collect();
    open.add(this);
    if (printer) libbpf.libbpf_set_print(printer.pointer);
  }

  [Symbol.dispose](): void {
    collect();
    open.delete(this);
  }
}

/** Runs the work, which calls libbpf. Returns its result and the warnings, oldest first. */
export function withLibbpfLog<T>(work: () => T): { result: T; warnings: readonly string[] } {
  const log = new LibbpfLog();
  try {
    return { result: work(), warnings: log.lines };
  } finally {
    log[Symbol.dispose]();
  }
}

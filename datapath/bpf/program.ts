/** A loaded program: its descriptor, its identity and test runs. */

import { NativeMemory } from "./ffi/memory.ts";
import { FileDescriptor } from "./ffi/libc.ts";
import { libbpf } from "./ffi/libbpf.ts";
import { constantName, ProgramType } from "./constants.ts";
import { closeWhenDropped } from "./dropped.ts";
import { bpfError, checkBpf } from "./errors.ts";
import { infoName, objectInfo } from "./info.ts";
import { openPinFd, pinFd } from "./pin.ts";

/** A made packet or context for BPF_PROG_TEST_RUN. */
export interface TestRunOptions {
  /** The packet, from its Ethernet header; at least 14 bytes for tc and XDP programs. */
  data?: Uint8Array;
  /** The context structure (struct __sk_buff, struct xdp_md, …) in the kernel's layout. */
  ctx?: Uint8Array;
  /** How often to run; types whose runs cannot be repeated want none. The packet is not restored between runs. @default {once} */
  repeat?: number;
  /** Room for the packet after the run. @default {data's length + 512} */
  dataOutSize?: number;
}

/** What came of a test run. */
export interface TestRunResult {
  /** What the program returned. */
  retval: number;
  /** The packet after the run. */
  data: Uint8Array<ArrayBuffer>;
  /** The context after the run; empty when none was given. */
  ctx: Uint8Array<ArrayBuffer>;
  /** Mean time of one run in nanoseconds. */
  duration: number;
}

/** What the kernel knows of a program. */
export interface ProgramInfo {
  /** The kernel's number. */
  id: number;
  /** The kernel's first 15 characters. */
  name: string;
  /** One of `ProgramType`. */
  type: number;
  /** The hash of its instructions, in hexadecimal. */
  tag: string;
  /** Since boot, in nanoseconds. */
  loadedAt: bigint;
  /** Of its instructions as the machine runs them, in bytes. */
  machineBytes: number;
  /** Instructions that the verifier looked at; 0 before Linux 5.16. */
  verifiedInstructions: number;
  /** The number of its BTF; 0: none. */
  btf: number;
  /** While statistics are enabled: how often it ran, and how long in nanoseconds. */
  runs: bigint;
  /** Nanoseconds. */
  runTime: bigint;
}

/** The most maps of a program, MAX_USED_MAPS of include/linux/bpf.h. */
const MOST_MAPS = 64;

const OPTS_SIZE = 80; // struct bpf_test_run_opts

/** Memory of test runs, grown on demand: options, packet in, packet out, context in, context out. */
let scratch: NativeMemory | undefined;

function testRunMemory(size: number): NativeMemory {
  if (!scratch || scratch.size < size) {
    scratch?.[Symbol.dispose]();
    scratch = new NativeMemory(Math.max(size, 1 << 16));
  }
  return scratch;
}

/** A program in the kernel. */
export class BpfProgram implements Disposable {
  /** The kernel's id. */
  readonly id: number;
  /** The name: whole when it came from an object, else the kernel's first 15 characters. */
  readonly name: string;
  /** One of `ProgramType`. */
  readonly type: number;
  /** One of `AttachType`; undefined for a program opened from a pin, of which the kernel does not tell. */
  readonly expectedAttachType: number | undefined;
  #fd: FileDescriptor;

  /** Takes over the descriptor. */
  constructor(fd: FileDescriptor, name?: string, expectedAttachType?: number) {
    this.#fd = fd;
    closeWhenDropped(this, fd);
    const info = objectInfo(fd.fd, name ?? "program");
    this.type = info.getUint32(0, true);
    this.id = info.getUint32(4, true);
    this.name = name ?? infoName(64);
    this.expectedAttachType = expectedAttachType;
  }

  /** The program pinned at `path`. Throws KernelError ENOENT when nothing is there. */
  static openPinned(path: string): BpfProgram {
    return new BpfProgram(openPinFd(path, "prog"));
  }

  /** The program with this id. Throws KernelError ENOENT when there is none. */
  static byId(id: number): BpfProgram {
    const fd = checkBpf(libbpf.bpf_prog_get_fd_by_id(id), "open", `program ${id}`);
    return new BpfProgram(new FileDescriptor(fd));
  }

  /** What the kernel knows of it now. */
  info(): ProgramInfo {
    const info = objectInfo(this.fd, this.name);
    return {
      type: info.getUint32(0, true),
      id: info.getUint32(4, true),
      tag: info.getBigUint64(8).toString(16).padStart(16, "0"),
      machineBytes: info.getUint32(16, true),
      loadedAt: info.getBigUint64(40, true),
      name: infoName(64),
      btf: info.getUint32(128, true),
      runTime: info.getBigUint64(192, true),
      runs: info.getBigUint64(200, true),
      verifiedInstructions: info.getUint32(216, true),
    };
  }

  /** The maps that it uses, by number. */
  mapIds(): number[] {
    using ids = new NativeMemory(4 * MOST_MAPS);
    const info = objectInfo(this.fd, this.name, (ask) => {
      ask.setUint32(52, MOST_MAPS, true);
      ask.setBigUint64(56, ids.address, true);
    });
    const count = Math.min(info.getUint32(52, true), MOST_MAPS);
    return Array.from({ length: count }, (_, i) => ids.view.getUint32(4 * i, true));
  }

  /** The descriptor, owned by this object. */
  get fd(): number {
    return this.#fd.fd;
  }

  /** The type's name, "SCHED_CLS". */
  get typeName(): string {
    return constantName(ProgramType, this.type);
  }

  /** Pins at a path that does not exist yet, on a bpffs. */
  pin(path: string): void {
    pinFd(this.fd, path);
  }

  /** Runs the program in the kernel on a made packet (BPF_PROG_TEST_RUN). */
  testRun({ data, ctx, repeat = 0, dataOutSize }: TestRunOptions): TestRunResult {
    const dataSize = data?.length ?? 0, ctxSize = ctx?.length ?? 0;
    const outSize = dataOutSize ?? (data ? dataSize + 512 : 0);
    const dataIn = OPTS_SIZE, dataOut = dataIn + dataSize;
    const ctxIn = align8(dataOut + outSize), ctxOut = ctxIn + align8(ctxSize);
    const memory = testRunMemory(ctxOut + ctxSize);
    const { bytes, view, address } = memory;
    const pointer = (offset: number, size: number) => size ? address + BigInt(offset) : 0n;

    bytes.fill(0, 0, OPTS_SIZE);
    view.setBigUint64(0, BigInt(OPTS_SIZE), true);
    view.setBigUint64(8, pointer(dataIn, dataSize), true);
    view.setBigUint64(16, pointer(dataOut, outSize), true);
    view.setUint32(24, dataSize, true);
    view.setUint32(28, outSize, true);
    view.setBigUint64(32, pointer(ctxIn, ctxSize), true);
    view.setBigUint64(40, pointer(ctxOut, ctxSize), true);
    view.setUint32(48, ctxSize, true);
    view.setUint32(52, ctxSize, true);
    view.setInt32(60, repeat, true);
    if (data) bytes.set(data, dataIn);
    if (ctx) bytes.set(ctx, ctxIn);

    const result = libbpf.bpf_prog_test_run_opts(this.fd, memory.pointer);
    if (result < 0) throw bpfError(result, "test-run", this.name);
    return {
      retval: view.getInt32(56, true),
      data: bytes.slice(dataOut, dataOut + Math.min(view.getUint32(28, true), outSize)),
      ctx: bytes.slice(ctxOut, ctxOut + Math.min(view.getUint32(52, true), ctxSize)),
      duration: view.getUint32(64, true),
    };
  }

  /**
   * Runs a program of type SYSCALL on another thread: for work that takes the kernel long. Resolves to
   * the context after the run. The program must not be disposed of before that.
   */
  async runElsewhere(ctx: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    using memory = new NativeMemory(OPTS_SIZE + ctx.length);
    const { bytes, view, address } = memory;
    view.setBigUint64(0, BigInt(OPTS_SIZE), true);
    view.setBigUint64(32, address + BigInt(OPTS_SIZE), true);
    view.setUint32(48, ctx.length, true);
    bytes.set(ctx, OPTS_SIZE);
    const result = await libbpf.run_elsewhere(this.fd, memory.pointer);
    if (result < 0) throw bpfError(result, "run", this.name);
    return bytes.slice(OPTS_SIZE);
  }

  /** Closes the descriptor; the program lives on while it has other users. */
  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

/** Throws TypeError, in words, for a program of another type than the hook wants. */
export function requireType(program: BpfProgram, ...types: (keyof typeof ProgramType)[]): void {
  if (types.some((type) => ProgramType[type] === program.type)) return;
  throw new TypeError(
    `Program ${program.name} is of type ${program.typeName}, and this hook is for ${
      types.join(" or ")
    }`,
  );
}

function align8(size: number): number {
  return (size + 7) & ~7;
}

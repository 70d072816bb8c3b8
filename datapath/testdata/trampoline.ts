/** Runs a program on a packet that is made anew before each run, or that came through the tunnel. */

import { compileBpf } from "../../scripts/compile_bpf.ts";
import { type BpfMap, BpfObject, type BpfProgram } from "../bpf/mod.ts";

const HEADER = 24, FRAME_MAX = 2048; // struct before of trampoline.bpf.c

let object: Uint8Array<ArrayBuffer> | undefined;

export interface Before {
  /** Of the sender, for what comes through the tunnel. */
  identity?: number;
  mark?: number;
  /** Overwrites the packet's beginning before each run. */
  restore?: Uint8Array;
  /** Offset of two bytes that are others in each run; checksums are not kept. */
  vary?: number;
  /** A power of two: how many values these bytes take, in no order. @default {all, in order} */
  flows?: number;
}

export class Trampoline implements Disposable {
  /** Run this one. */
  readonly program: BpfProgram;
  /** Parses a TCP packet and does one hash look-up. */
  readonly floor: BpfProgram;
  /** Does nothing. */
  readonly empty: BpfProgram;
  readonly #before: BpfMap;
  readonly #target: BpfMap;

  constructor() {
    object ??= compileBpf(new URL("trampoline.bpf.c", import.meta.url).pathname);
    using opened = BpfObject.open(object);
    opened.load();
    this.program = opened.program("trampoline");
    this.floor = opened.program("floor_of_all");
    this.empty = opened.program("empty");
    this.#before = opened.map("before");
    this.#target = opened.map("target");
  }

  /** What `program` does from now on. */
  aim(
    target: BpfProgram,
    { identity = 0, mark = 0, restore, vary = 0, flows = 0 }: Before = {},
  ): BpfProgram {
    const key = new Uint8Array(4);
    const value = new Uint8Array(HEADER + FRAME_MAX);
    const view = new DataView(value.buffer);
    view.setUint32(0, identity, true);
    view.setUint32(4, mark, true);
    view.setUint32(8, restore?.length ?? 0, true);
    view.setUint32(12, vary, true);
    view.setUint32(16, flows, true);
    if (restore) value.set(restore, HEADER);
    this.#before.set(key, value);
    const fd = new Uint8Array(4);
    new DataView(fd.buffer).setUint32(0, target.fd, true);
    this.#target.set(key, fd);
    return this.program;
  }

  [Symbol.dispose](): void {
    for (const owned of [this.program, this.floor, this.empty, this.#before, this.#target]) {
      owned[Symbol.dispose]();
    }
  }
}

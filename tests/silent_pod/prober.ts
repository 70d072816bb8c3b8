/** The process that sends frames and captures: prober.c, compiled when it is needed. */

import { fromFileUrl } from "@std/path";
import type { Frame } from "./frame.ts";

/** Bytes of `struct sighting`. */
const HEADER = 12;
const END = 255;
const PACKET_OUTGOING = 4;

/** A marker that was captured. */
export interface Captured {
  /** The frame's. */
  id: number;
  /** Number of the watched namespace. */
  place: number;
  /** 0: the IP stack. */
  ifindex: number;
  outgoing: boolean;
  /** The packet's first bytes: of a device with Ethernet's header, of the stack from IP's on. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** What a batch has come to. */
export interface BatchResult {
  captured: Captured[];
  /** Sightings at quiet places. */
  quiet: number;
  /** Packets that captures had no room for, since the start. */
  lost: number;
}

/** A place where markers of some senders are counted only. */
export interface Quiet {
  place: number;
  ifindex: number;
  incoming: boolean;
  outgoing: boolean;
  /** Numbers of senders. */
  senders: readonly number[];
}

export interface ProberOptions {
  /** Paths of network namespaces. */
  send: readonly string[];
  watch: readonly string[];
  /** Of namespaces whose IP stack is watched; numbered behind `watch`. */
  stacks: readonly string[];
  quiet: readonly Quiet[];
}

/** Compiles the prober into `directory`. Returns its path. */
export function compileProber(directory: string): string {
  const source = fromFileUrl(new URL("prober.c", import.meta.url));
  const program = `${directory}/prober`;
  const args = ["-O2", "-Wall", "-Werror", "-o", program, source];
  const { success, stderr } = new Deno.Command("clang-19", { args }).outputSync();
  if (!success) {
    throw new Error(`The prober does not compile:\n${new TextDecoder().decode(stderr)}`);
  }
  return program;
}

/** Runs the prober. Dispose of it to end it. */
export class Prober implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBufferLike>>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBufferLike>>;
  #buffer = new Uint8Array(1 << 16);
  #from = 0;
  #to = 0;

  constructor(program: string, { send, watch, stacks, quiet }: ProberOptions) {
    const args = [
      ...send.flatMap((path) => ["send", path]),
      ...watch.flatMap((path) => ["watch", path]),
      ...stacks.flatMap((path) => ["stack", path]),
      ...quiet.flatMap(({ place, ifindex, incoming, outgoing, senders }) => {
        const mask = senders.reduce((sum, sender) => sum | 1 << sender, 0);
        return [
          "quiet",
          [place, ifindex, Number(incoming) | Number(outgoing) << 1, mask].join(":"),
        ];
      }),
    ];
    const options = { args, stdin: "piped", stdout: "piped", stderr: "inherit" } as const;
    this.#child = new Deno.Command(program, options).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.getReader();
  }

  /** Sends the frames; none: waits until all is quiet. Results come in the order of batches. */
  async send(frames: readonly Frame[]): Promise<BatchResult> {
    const bytes = new Uint8Array(
      4 + frames.reduce((sum, frame) => sum + 3 + frame.bytes.length, 0),
    );
    const view = new DataView(bytes.buffer);
    view.setUint32(0, frames.length, true);
    let at = 4;
    for (const { sender, bytes: frame } of frames) {
      view.setUint8(at, sender);
      view.setUint16(at + 1, frame.length, true);
      bytes.set(frame, at + 3);
      at += 3 + frame.length;
    }
    // both at once: the prober reports while it reads
    const [result] = await Promise.all([this.#result(), this.#writer.write(bytes)]);
    return result;
  }

  async #result(): Promise<BatchResult> {
    const captured: Captured[] = [];
    while (true) {
      const header = await this.#take(HEADER);
      const view = new DataView(header.buffer);
      const place = view.getUint8(10), id = view.getUint32(0, true);
      const ifindex = view.getUint32(4, true);
      if (place === END) return { captured, quiet: ifindex, lost: id };
      const bytes = await this.#take(view.getUint16(8, true));
      captured.push({ id, place, ifindex, outgoing: view.getUint8(11) === PACKET_OUTGOING, bytes });
    }
  }

  async #take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#to - this.#from < length) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error("The prober has ended");
      this.#append(value);
    }
    return this.#buffer.slice(this.#from, this.#from += length);
  }

  #append(part: Uint8Array): void {
    const left = this.#to - this.#from;
    let next = this.#buffer;
    if (left + part.length > next.length) next = new Uint8Array(2 * (left + part.length));
    next.set(this.#buffer.subarray(this.#from, this.#to));
    next.set(part, left);
    [this.#buffer, this.#from, this.#to] = [next, 0, left + part.length];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#reader.cancel().catch(() => {});
    await this.#child.status;
  }
}

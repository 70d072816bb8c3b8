/** Flows for one who listens. What is not taken yet waits as bytes: what is never taken costs little. */

import { eventOffsets } from "../../../datapath/maps/generated.ts";
import type { FlowView } from "../../api/views.ts";
import type { FlowDecoder } from "./flow.ts";

/** Events that wait at most: more than a buffer of 8 MiB holds. */
const CAPACITY = 65_536;

/** Flows that are taken at once. */
const BATCH = 256;

/** Bytes of an event that flows are made of: all but the packet's. */
const SIZE = eventOffsets.data;

export class FlowListener implements Disposable {
  /** Bit 1 << type for each type of events that this one wants. */
  readonly types: number;
  readonly #decoder: FlowDecoder;
  readonly #events = new DataView(new ArrayBuffer(CAPACITY * SIZE));
  readonly #onDispose: () => void;
  #missed = 0;
  #first = 0;
  #waiting = 0;
  #wake = () => {};

  constructor(types: number, decoder: FlowDecoder, onDispose: () => void) {
    this.types = types;
    this.#decoder = decoder;
    this.#onDispose = onDispose;
  }

  /** Keeps an event until it is taken; of too many the oldest is lost. */
  push(view: DataView, offset: number): void {
    const at = (this.#first + this.#waiting) % CAPACITY * SIZE;
    for (let i = 0; i < SIZE; i += 4) {
      this.#events.setInt32(at + i, view.getInt32(offset + i, true), true);
    }
    if (this.#waiting < CAPACITY) {
      this.#waiting++;
    } else {
      this.#first = (this.#first + 1) % CAPACITY;
      this.#missed++;
    }
  }

  /** Events that were lost because others came before they were taken. */
  get missed(): number {
    return this.#missed;
  }

  /** Ends a wait if there is something to take. */
  wake(): void {
    if (this.#waiting > 0) this.#wake();
  }

  /** Some of the flows that came since; waits for the first one. None when the signal has come. */
  async take(signal: AbortSignal): Promise<FlowView[]> {
    if (this.#waiting === 0 && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      signal.addEventListener("abort", this.#wake);
      await promise;
      signal.removeEventListener("abort", this.#wake);
    }
    const flows: FlowView[] = [];
    while (this.#waiting > 0 && flows.length < BATCH && !signal.aborted) {
      flows.push(this.#decoder.decode(this.#events, this.#first * SIZE));
      this.#first = (this.#first + 1) % CAPACITY;
      this.#waiting--;
    }
    return flows;
  }

  [Symbol.dispose](): void {
    this.#onDispose();
  }
}

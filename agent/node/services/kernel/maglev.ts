/**
 * Maglev tables (Eisenbud et al., NSDI 2016): a hash of the flow picks a slot, and the slot names a
 * backend. A change of the backends moves few slots; a slot that has moved also remembers which had it
 * before. The layout of a slot is that of bpf/lib/service.h.
 */

import { addressWords, hashWords } from "./flow_hash.ts";

/** Slots of one row of the map. */
export const ROW_SLOTS = 512;

/** Where `before` begins in a slot. */
export const INDEX_BITS = 14;
export const INDEX_MASK = 0x3fff;
export const YOUNG = 0x4000_0000;
export const ASK = 0x8000_0000;

/** Seconds for which datagrams without a memory go to the backend before. */
const YOUNG_S = 60;
/** Seconds after which no flow can be older than the slot's last change: an idle TCP connection's life. */
const ASK_S = 8000;

/** Rows of the map that a table of so many slots takes. */
export function maglevRows(size: number): number {
  return Math.ceil(size / ROW_SLOTS);
}

/** A backend that may be chosen. */
export interface MaglevBackend {
  /** 16 bytes. */
  address: Uint8Array;
  port: number;
  /** Share of the slots, relative to the others'; 0: none. */
  weight: number;
}

/** The owner of each slot, as an index of `backends`. Those without weight own none, unless all are. */
export function fillMaglev(backends: readonly MaglevBackend[], size: number): Uint16Array {
  const owners = new Uint16Array(size).fill(0xffff);
  let entitled = backends.map((backend, index) => ({ backend, index }))
    .filter(({ backend }) => backend.weight > 0);
  if (entitled.length === 0) entitled = backends.map((backend, index) => ({ backend, index }));
  const count = entitled.length;
  const next = new Uint32Array(count), skip = new Uint32Array(count);
  const weight = new Float64Array(count), credit = new Float64Array(count);
  let heaviest = 0;
  entitled.forEach(({ backend }, i) => {
    const words = [...addressWords(backend.address), backend.port];
    next[i] = hashWords(words, 0x5bd1e995) % size;
    skip[i] = hashWords(words, 0x1b873593) % (size - 1) + 1;
    weight[i] = backend.weight || 1;
    heaviest = Math.max(heaviest, weight[i]!);
  });
  for (let filled = 0; count > 0;) {
    for (let i = 0; i < count; i++) {
      credit[i] = credit[i]! + weight[i]!;
      if (credit[i]! < heaviest) continue;
      credit[i] = credit[i]! - heaviest;
      let slot = next[i]!;
      const step = skip[i]!;
      while (owners[slot] !== 0xffff) {
        slot += step;
        if (slot >= size) slot -= size;
      }
      owners[slot] = entitled[i]!.index;
      slot += step;
      next[i] = slot >= size ? slot - size : slot;
      if (++filled === size) return owners;
    }
  }
  return owners;
}

/** A table as the kernel has it. Made anew for each change of its backends. */
export class MaglevTable {
  readonly size: number;
  /** Whole rows of the map; behind the last slot zeros. */
  readonly slots: Uint32Array<ArrayBuffer>;
  /** Seconds, of each slot's last change; undefined when none has ever changed. */
  #changed: Uint32Array | undefined;

  private constructor(size: number, slots: Uint32Array<ArrayBuffer>, changed?: Uint32Array) {
    this.size = size;
    this.slots = slots;
    this.#changed = changed;
  }

  /** A table without a past. `backends` are those for new connections, the first ones of the set. */
  static create(backends: readonly MaglevBackend[], size: number): MaglevTable {
    const owners = fillMaglev(backends, size);
    const slots = new Uint32Array(maglevRows(size) * ROW_SLOTS);
    for (let i = 0; i < size; i++) slots[i] = owners[i]! << INDEX_BITS | owners[i]!;
    return new MaglevTable(size, slots);
  }

  /** What an agent before has left: its changes count from `now`, in seconds. */
  static adopt(slots: Uint32Array<ArrayBuffer>, size: number, now: number): MaglevTable {
    const changed = slots.some((slot) => slot >= ASK) ? new Uint32Array(size).fill(now) : undefined;
    return new MaglevTable(size, slots, changed);
  }

  /** Whether some slot has flags that time will take away. */
  get changing(): boolean {
    return this.#changed !== undefined;
  }

  /**
   * The table for other backends. `moved` has for each index of the set now the index in the set to
   * come, -1 for a backend that is not in it any more; `now` is in seconds.
   */
  change(backends: readonly MaglevBackend[], moved: Int32Array, now: number): MaglevTable {
    const owners = fillMaglev(backends, this.size);
    const slots = new Uint32Array(this.slots.length);
    let changed = this.#changed?.slice();
    for (let i = 0; i < this.size; i++) {
      const slot = this.slots[i]!;
      const owner = owners[i]!;
      const had = moved[slot & INDEX_MASK] ?? -1;
      let before = moved[slot >>> INDEX_BITS & INDEX_MASK] ?? -1;
      let flags = slot & (ASK | YOUNG);
      if (had !== owner) {
        // while ASK is set, flows that began with `had` are remembered, and `before` has the rest
        if (before < 0) before = had;
        flags = ASK | YOUNG;
        changed ??= new Uint32Array(this.size);
        changed[i] = now;
      }
      if (before < 0) before = owner;
      if (before === owner) flags &= ~YOUNG;
      slots[i] = flags | before << INDEX_BITS | owner;
    }
    return new MaglevTable(this.size, slots, changed);
  }

  /**
   * Takes away what is over. In place, for each slot says the same of new flows before and after.
   * Returns whether anything changed.
   */
  age(now: number): boolean {
    const changed = this.#changed;
    if (!changed) return false;
    let any = false, left = false;
    for (let i = 0; i < this.size; i++) {
      const slot = this.slots[i]!;
      if ((slot & (ASK | YOUNG)) === 0) continue;
      const age = now - changed[i]!;
      if (age >= ASK_S) {
        const owner = slot & INDEX_MASK;
        this.slots[i] = owner << INDEX_BITS | owner;
        any = true;
      } else {
        left = true;
        if (age < YOUNG_S || (slot & YOUNG) === 0) continue;
        this.slots[i] = slot & ~YOUNG;
        any = true;
      }
    }
    if (!left) this.#changed = undefined;
    return any;
  }
}

/** A slot in words. */
export interface MaglevSlot {
  /** Index in the set for new flows. */
  now: number;
  /** For TCP flows without memory. */
  before: number;
  /** `before` is for datagrams without memory too. */
  young: boolean;
  /** Flows may have memory. */
  ask: boolean;
}

export function readSlot(slot: number): MaglevSlot {
  return {
    now: slot & INDEX_MASK,
    before: slot >>> INDEX_BITS & INDEX_MASK,
    young: (slot & YOUNG) !== 0,
    ask: (slot & ASK) !== 0,
  };
}

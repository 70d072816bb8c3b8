/** What exists, who sends, and the frame that is being made of it. */

import { generator } from "../../datapath/testdata/random.ts";
import { type Address, Writer } from "./frame.ts";

export type Family = 4 | 6;

/** Who sends. */
export interface Sender {
  name: string;
  own: Record<Family, Address>;
  mac: Uint8Array;
  /** MACs that its packets are rightly sent to. */
  nextHops: readonly Uint8Array[];
  /** Addresses and ports to which something of it may come, with the protocol. */
  favourites: readonly { address: Address; protocol: number; port: number }[];
}

/** Packets to a port of `to`, and its answers; `to` may be a service, where the client sees it. */
export interface Flow {
  from: Address;
  to: Address;
  protocol: number;
  port: number;
}

/** What exists. */
export interface Surroundings {
  addresses: Record<Family, readonly Address[]>;
  macs: readonly Uint8Array[];
  ports: readonly number[];
  /** Flows that may exist, to be quoted. */
  flows: readonly Flow[];
  /** Nodes as ends of tunnels. */
  tunnelEnds: Record<Family, readonly Address[]>;
  vnis: readonly number[];
  /** Addresses that no frame may say the MAC of: it would be the wire's end, not a hole. */
  infrastructure: ReadonlySet<string>;
}

export const SOURCE_PORTS = [40000, 40001, 40002, 40003];

/** Frames stay below the wire's MTU. */
const ROOM = 1200;

/** Frames, one after the other, whose fragments are of few datagrams. */
const NEIGHBOURS = 64;

function mix(seed: number, number: number): number {
  return Math.imul(seed ^ Math.imul(number, 0x85ebca6b), 0x9e3779b1);
}

/** A frame that is being made: its bytes so far, and the dice that decide what comes next. */
export class Draft {
  readonly w = new Writer();
  readonly world: Surroundings;
  sender!: Sender;
  /** Of the marker. */
  id = 0;
  /** A number below the bound. */
  random: (below: number) => number = () => 0;
  #shared = 0;
  /** By the address of either end. */
  readonly #flows = new Map<string, Flow[]>();

  constructor(world: Surroundings) {
    this.world = world;
    for (const flow of world.flows) {
      for (const { text } of [flow.from, flow.to]) {
        this.#flows.set(text, [...this.#flows.get(text) ?? [], flow]);
      }
    }
  }

  /** Begins a frame of the sender's, whose number and the seed decide what it is. */
  begin(seed: number, sender: Sender, id: number): void {
    this.random = generator(mix(seed, id));
    this.#shared = mix(~seed, Math.floor(id / NEIGHBOURS));
    this.sender = sender;
    this.id = id;
    this.w.length = 0;
  }

  /** Does the same with what decides it as in this frame's neighbours, for one of `ways`. */
  asNeighbours<T>(ways: number, make: () => T): T {
    const own = this.random;
    this.random = generator(mix(this.#shared, own(ways)));
    const made = make();
    this.random = own;
    return made;
  }

  chance(percent: number): boolean {
    return this.random(100) < percent;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.random(values.length)]!;
  }

  address(family: Family): Address {
    return this.pick(this.world.addresses[family]);
  }

  /** Flows that the address is an end of. */
  flowsOf({ text }: Address): readonly Flow[] {
    return this.#flows.get(text) ?? [];
  }

  /** An address to say the MAC of. */
  claim(family: Family): Address {
    const address = this.address(family);
    return this.world.infrastructure.has(address.text) ? this.sender.own[family] : address;
  }

  /** The marker, and something behind it. */
  payload(): void {
    this.w.marker(this.id);
    const rest = this.chance(95) ? this.random(24) : this.random(Math.max(1, ROOM - this.w.length));
    this.w.zeros(Math.min(rest, 500));
  }
}

/** Sends frames from every sender and has an oracle judge where their markers are seen. */

import { OUTSIDE } from "../../cli/lab/lab.ts";
import { formatIp } from "../../datapath/net/ip.ts";
import type { RoutingMode } from "../../datapath/loader.ts";
import type { IdentityView } from "../../agent/api/views.ts";
import {
  type Cast,
  frontendsOf,
  OPEN_PORTS,
  SECONDARY,
  SENDERS,
  SERVICE_NAMES,
  STRANGER,
} from "./cast.ts";
import { type Frame, macText } from "./frame.ts";
import { Grammar } from "./grammar.ts";
import { type Known, Oracle, type Sighting } from "./oracle.ts";
import { type Captured, compileProber, Prober, type Quiet } from "./prober.ts";
import { macOf, ROUTER, sendersOf, surroundingsOf, watch, type Watched } from "./surroundings.ts";

const BATCH = 1000;
const PODS = [0, 1, 2], OUTSIDERS = [3, 4];

/** A marker where it must not be. */
export interface Leak {
  frame: Frame;
  sighting: Sighting;
  seen: Uint8Array;
}

/** What a run has come to. */
export interface Outcome {
  leaks: Leak[];
  /** Of all leaks, which are more than are kept. */
  leaked: number;
  /** Sightings that the oracle allowed, by `SENDER → PLACE`. */
  allowed: Map<string, number>;
  /** Sightings where a sender's frames are by nature. */
  quiet: number;
  /** Packets that captures lost. */
  lost: number;
  sent: number;
}

/** Prepares senders, captures and oracle for a cast. */
export class Trial {
  readonly #cast: Cast;
  readonly #watched: [string, Watched][];
  readonly #known: Known;
  readonly #identities: Map<number, string>;

  private constructor(cast: Cast, routing: RoutingMode, identities: Map<number, string>) {
    this.#cast = cast;
    this.#watched = [...watch(cast)];
    this.#identities = identities;
    this.#known = knownOf(cast, routing, identities);
  }

  static async prepare(cast: Cast, routing: RoutingMode): Promise<Trial> {
    return new Trial(cast, routing, await identitiesOf(cast));
  }

  /** Sends `count` frames of each sender; `first` is the number of the first one. */
  async run(
    seed: number,
    count: number,
    { first = 0, senders = [0, 1, 2, 3, 4], progress = (_: number) => {} } = {},
  ): Promise<Outcome> {
    const { story: { lab, a, b } } = this.#cast;
    const all = sendersOf(this.#cast);
    const grammar = new Grammar(seed, all, surroundingsOf(this.#cast, this.#identities.keys()));
    const oracle = new Oracle(this.#known);
    const outcome: Outcome = {
      leaks: [],
      leaked: 0,
      allowed: new Map(),
      quiet: 0,
      lost: 0,
      sent: 0,
    };
    await using prober = new Prober(compileProber(lab.directory), {
      send: all.map(({ host }) => host.netns),
      watch: this.#watched.map(([, { host }]) => host.netns),
      stacks: [a.netns, b.netns],
      quiet: this.#quiet(),
    });
    const judge = ({ captured, quiet, lost }: Awaited<ReturnType<Prober["send"]>>) => {
      outcome.quiet += quiet;
      outcome.lost = lost;
      for (const one of captured) this.#judge(grammar, oracle, one, outcome);
    };
    for (let from = first; from < first + count; from += BATCH / senders.length) {
      const frames: Frame[] = [];
      const to = Math.min(first + count, from + BATCH / senders.length);
      for (const sender of senders) {
        for (let number = from; number < to; number++) frames.push(grammar.frame(sender, number));
      }
      for (const frame of frames) oracle.note(frame);
      judge(await prober.send(frames));
      outcome.sent += frames.length;
      progress(outcome.sent);
    }
    judge(await prober.send([]));
    return outcome;
  }

  #judge(grammar: Grammar, oracle: Oracle, captured: Captured, outcome: Outcome): void {
    const frame = grammar.frame(captured.id >>> 28, captured.id & 0xfffffff);
    const sighting = this.#sighting(captured);
    if (oracle.allows(frame, sighting)) {
      const key = `${SENDERS[frame.sender]} → ${sighting.place}`;
      outcome.allowed.set(key, (outcome.allowed.get(key) ?? 0) + 1);
      return;
    }
    outcome.leaked++;
    if (outcome.leaks.length < 100) outcome.leaks.push({ frame, sighting, seen: captured.bytes });
  }

  #sighting({ place, ifindex, outgoing, bytes }: Captured): Sighting {
    const stack = place - this.#watched.length;
    if (stack >= 0) {
      const name = ["node-a", "node-b"][stack]!;
      return { place: name, device: "stack", outgoing: false, ...headerOf(bytes, 0) };
    }
    const [name, { devices }] = this.#watched[place]!;
    const device = devices.get(ifindex)?.name ?? `device ${ifindex}`;
    const pod = [...this.#cast.pods].find(([, { hostDevice }]) => hostDevice === device)?.[0];
    return {
      place: name,
      device: pod && name.startsWith("node-") ? `pod:${pod}` : device,
      outgoing,
      ...headerOf(bytes, 14),
    };
  }

  /** A sender sees its own; the wire is the outsiders', and what nodes take from it is judged later. */
  #quiet(): Quiet[] {
    const rows: Quiet[] = [];
    for (const [place, [name, { devices }]] of this.#watched.entries()) {
      for (const [ifindex, { name: device }] of devices) {
        const add = (...senders: number[]) => {
          rows.push({ place, ifindex, incoming: true, outgoing: true, senders });
        };
        for (const sender of PODS) {
          const pod = this.#cast.pods.get(SENDERS[sender]!)!;
          if (name === SENDERS[sender] || device === pod.hostDevice && name === pod.node.name) {
            add(sender);
          }
        }
        const node = name.startsWith("node-");
        if (["wire", "stranger", "outside"].includes(name)) add(...OUTSIDERS);
        if (node && ["eth0", "pilus_vxlan"].includes(device)) add(...OUTSIDERS);
      }
    }
    return rows;
  }
}

/** The frame and where it was seen, in words that let the run be repeated. */
export function describe({ frame: { bytes, ...frame }, sighting, seen }: Leak): string {
  const hex = (data: Uint8Array) =>
    [...data].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [
    `frame ${frame.number} of ${
      SENDERS[frame.sender]
    } was seen at ${sighting.place} ${sighting.device}` +
    `${sighting.outgoing ? ", outgoing" : ""}, from ${sighting.source ?? "nobody"}`,
    `  made: ${JSON.stringify(frame)}`,
    `  sent: ${hex(bytes)}`,
    `  seen: ${hex(seen)}`,
  ].join("\n");
}

function headerOf(bytes: Uint8Array, at: number): { source?: string; protocol?: number } {
  const version = bytes[at]! >> 4;
  const type = at ? bytes[12]! << 8 | bytes[13]! : version === 4 ? 0x0800 : 0x86dd;
  if (type === 0x0800 && version === 4) {
    return { source: formatIp(bytes.slice(at + 12, at + 16)), protocol: bytes[at + 9]! };
  }
  if (type !== 0x86dd || version !== 6) return {};
  const source = formatIp(bytes.slice(at + 8, at + 24));
  return { source: source.includes(".") ? `::ffff:${source}` : source, protocol: bytes[at + 6]! };
}

async function identitiesOf({ story: { lab } }: Cast): Promise<Map<number, string>> {
  const names = new Map<number, string>();
  for (const node of lab.nodes) {
    for (const { id, labels } of await node.client.call<IdentityView[]>("/v1/identities")) {
      const app = labels.map((label) => /app=(.+)$/.exec(label)?.[1]).find((found) => found);
      if (app) names.set(id, app);
    }
  }
  return names;
}

function knownOf(
  { story: { lab }, pods }: Cast,
  routing: RoutingMode,
  identities: Map<number, string>,
): Known {
  const nodes = new Map<string, string>();
  for (const { name, ipv4, ipv6, number } of lab.nodes) {
    for (const ip of [ipv4, ipv6, `10.60.${number}.1`, `fd60:${number}::1`]) nodes.set(ip, name);
  }
  for (const ip of SECONDARY) nodes.set(ip, "node-a");
  const frontends = new Map<string, { pod: string; port: number; external: boolean }>();
  for (const pod of SERVICE_NAMES) {
    const { cluster, external, port, nodePort } = frontendsOf(pod);
    for (const open of OPEN_PORTS) {
      const add = (ip: string, at: number, fromOutside: boolean) => {
        frontends.set(`${ip} ${open.protocol} ${at}`, {
          pod,
          port: open.port,
          external: fromOutside,
        });
      };
      for (const ip of cluster) add(ip, port[open.protocol], false);
      for (const ip of external) add(ip, port[open.protocol], true);
      for (const ip of nodes.keys()) add(ip, nodePort[open.protocol], true);
    }
  }
  return {
    routing,
    pods: new Map([...pods].flatMap(([name, { ipv4, ipv6 }]) => [[ipv4, name], [ipv6, name]])),
    nodeOf: new Map([...pods].map(([name, { node }]) => [name, node.name])),
    nodes,
    secondary: new Set(SECONDARY),
    answering: new Set([
      ...nodes.keys(),
      ...ROUTER,
      ...Object.values({ ...STRANGER }),
      ...Object.values(OUTSIDE),
    ]),
    nodeMacs: new Map(lab.nodes.map((node) => [macText(macOf(node)), node.name])),
    routerMac: macText(macOf(lab.wire, "wire")),
    frontends,
    identities,
  };
}

/**
 * What a packet costs in each program, in nanoseconds net of an empty program run the same way, with
 * one flow and with many in no order, beside a floor of the same run: parse a TCP packet and one hash
 * look-up. A trampoline makes the packet anew before each run. Every figure is the least of some
 * rounds; differences under 20 % are noise on a shared machine. "singly": each run is a system call
 * of its own, because a packet can be framed but once; colder caches are in figure and floor.
 *
 * Usage: taskset -c 1 deno run -A scripts/bench/programs.ts. Writes dist/bench/programs.json.
 */

import type { BpfProgram } from "../../datapath/bpf/mod.ts";
import { balancerNode } from "../../datapath/testdata/balancer.ts";
import {
  DEVICE_IFINDEX,
  DEVICE_MAC,
  NODE,
  OTHER_NODE,
  OTHER_POD,
  POD,
  REMOTE,
  SERVICE,
  skbContext,
  TestNode,
  type TestPod,
  TUNNEL_IFINDEX,
  TUNNEL_MAC,
  VERDICT,
} from "../../datapath/testdata/node.ts";
import { TCP, tcpFrame } from "../../datapath/testdata/packets.ts";
import { type Before, Trampoline } from "../../datapath/testdata/trampoline.ts";
import { FAMILIES, type Family } from "../../datapath/testdata/families.ts";

// 40,000 events fit into the buffer
const REPEAT = 40_000, ROUNDS = 15, SINGLE_ROUNDS = 3;

/** Flows of the columns, the many in no order. */
const FLOWS = [1, 32_768] as const;

interface Row {
  case: string;
  metric: string;
  value: number;
  unit: string;
  /** Of the same run and as many flows. */
  floor: number;
  ratio: number;
}

/** As on the wire: a frame for another receiver would have to be made this host's first. */
const macOf = new Map<unknown, Uint8Array>([POD, OTHER_POD].map((pod) => [pod, pod.hostMac]));

function packet(
  family: Family,
  source: Record<Family, string>,
  destination: Record<Family, string>,
  flags: number,
  [sourcePort, destinationPort]: [number, number] = [40000, 8080],
): Uint8Array<ArrayBuffer> {
  return tcpFrame({
    source: source[family],
    destination: destination[family],
    sourcePort,
    destinationPort,
    flags,
    payload: new Uint8Array(64),
    destinationMac: macOf.get(source) ?? TUNNEL_MAC,
  });
}

interface Run {
  program: BpfProgram;
  made: Uint8Array;
  ctx: Uint8Array;
  verdict: number;
  /** After each round. */
  between: () => void;
}

function once({ program, made, ctx, verdict }: Run, repeat: number): number {
  const result = program.testRun({ data: made, ctx, repeat });
  if (result.retval !== verdict) {
    throw new Error(`Verdict ${result.retval} instead of ${verdict}: the figure means nothing`);
  }
  return result.duration;
}

/** The best of some rounds: what disturbs a run only adds to it. */
function nanoseconds(run: Run): number {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    best = Math.min(best, once(run, REPEAT));
    run.between();
  }
  return best;
}

/** The best of some medians of single runs. */
function singly(run: Run): number {
  let best = Infinity;
  for (let round = 0; round < SINGLE_ROUNDS; round++) {
    const durations = Float64Array.from({ length: REPEAT }, () => once(run, 1)).sort();
    best = Math.min(best, durations[REPEAT >> 1]!);
    run.between();
  }
  return best;
}

const rows: Row[] = [];
for (const family of FAMILIES) {
  const sourcePort = family === "ipv4" ? 34 : 54;
  using trampoline = new Trampoline();
  /** The programs of a node, whose maps live as long as it does. */
  const bench = (node: TestNode) => {
    const drain = () => void node.events.drain(() => {});
    return (
      name: string,
      target: BpfProgram,
      made: Uint8Array,
      {
        ifindex = POD.ifindex,
        verdict = VERDICT.redirect,
        skbMark = 0,
        time = nanoseconds,
        ...before
      }: Before & {
        ifindex?: number;
        verdict?: number;
        skbMark?: number;
        time?: typeof nanoseconds;
      } = {},
      flowCounts: readonly number[] = [1],
    ) => {
      for (const flows of flowCounts) {
        const options = { restore: made, ...before };
        if (flows > 1) Object.assign(options, { vary: sourcePort, flows });
        const ctx = skbContext(ifindex, skbMark);
        const run = (target: BpfProgram, verdict: number) =>
          time({ program: trampoline.aim(target, options), made, ctx, verdict, between: drain });
        // right before: all figures of a row were measured in the same mood of the machine
        const empty = run(trampoline.empty, VERDICT.ok);
        const floor = run(trampoline.floor, VERDICT.ok) - empty;
        const value = Math.round(run(target, verdict) - empty);
        rows.push({
          case: `${name}${time === singly ? ", singly" : ""}, ${family}`,
          metric: flows === 1 ? "1 flow" : `${flows >> 10}k flows`,
          value,
          unit: "ns",
          floor,
          ratio: Math.round(value / floor * 100) / 100,
        });
      }
    };
  };
  using node = new TestNode({}, { wholeMaps: true });
  const measure = bench(node);
  const fromPod = node.program("from_pod");
  const send = (made: Uint8Array, pod: TestPod = POD) => node.fromPod(made, pod);
  const there = packet(family, POD, OTHER_POD, TCP.ack);
  const back = packet(family, OTHER_POD, POD, TCP.ack, [8080, 40000]);
  send(there);
  send(back, OTHER_POD);
  measure("pod to pod of the node", fromPod, there, {}, FLOWS);
  measure("pod to pod of the node", fromPod, there, { time: singly });
  measure("its answer", fromPod, back, { ifindex: OTHER_POD.ifindex });

  const away = packet(family, POD, REMOTE, TCP.ack);
  send(away);
  measure("pod to remote pod, the tunnel's device", fromPod, away, {}, FLOWS);
  // the tunnel's own packet
  const outer = packet(family, NODE, OTHER_NODE, TCP.ack);
  measure("+ the tunnel's device", node.program("to_overlay"), away, {
    ifindex: TUNNEL_IFINDEX,
    mark: 0x400,
    verdict: VERDICT.ok,
  });
  measure("+ the node's device", node.program("to_netdev"), outer, {
    ifindex: DEVICE_IFINDEX,
    verdict: VERDICT.unspec,
  });
  const arrived = packet(family, REMOTE, POD, TCP.ack, [8080, 40000]);
  measure("its answer, from the tunnel's device", node.program("from_overlay"), arrived, {
    ifindex: TUNNEL_IFINDEX,
    identity: REMOTE.identity,
  });

  node.reachOtherNode();
  measure("pod to remote pod, framed for the tunnel", fromPod, away, { time: singly }, FLOWS);

  // the flows above had the same ends as these will have
  node.maps.pilus_ct.clear();
  const toService = packet(family, POD, SERVICE, TCP.ack, [40001, SERVICE.port]);
  send(toService);
  measure("pod to service", fromPod, toService, {}, FLOWS);
  const answer = packet(family, OTHER_POD, POD, TCP.ack, [SERVICE.backendPort, 40001]);
  measure("its answer", fromPod, answer, { ifindex: OTHER_POD.ifindex });

  {
    using native = balancerNode("snat", { tunnel_ifindex: 0 });
    const toOther = bench(native);
    native.fromPod(away);
    toOther("pod to remote pod, native", native.program("from_pod"), away);
    arrived.set(DEVICE_MAC);
    const arriving = { ifindex: DEVICE_IFINDEX };
    toOther("its answer, native", native.program("from_netdev"), arrived, arriving);
  }

  // another source port in each run: a new row, and the oldest of a full table makes room for it
  const syn = packet(family, POD, OTHER_POD, TCP.syn);
  const vary = sourcePort;
  const INGRESS = { enforced: true };
  const rule = { direction: "INGRESS", protocol: 6, identity: POD.identity } as const;
  measure("first packet, no policy", fromPod, syn, { vary });
  node.setPolicy(2, {
    INGRESS,
    entries: [
      { ...rule, port: 8080 },
      { ...rule, port: 1024, prefixLength: 6 },
      { ...rule, port: 0, prefixLength: 0 },
    ],
  });
  node.setEndpoint(OTHER_POD, { policy: 2, revision: 2 });
  measure("first packet, three port prefixes", fromPod, syn, { vary });
  node.setPolicy(3, { INGRESS });
  node.setEndpoint(OTHER_POD, { policy: 3, revision: 3 });
  measure("policy drop, with its event", fromPod, syn, { vary, verdict: VERDICT.shot });
}

const columns = ["case", "flows", "ns", "floor", "ratio"];
const line = (cells: readonly string[]) =>
  console.log(
    `${cells[0]!.padEnd(56)} ${cells[1]!.padEnd(10)} ${
      cells.slice(2).map((cell) => cell.padStart(6)).join(" ")
    }`,
  );
line(columns);
for (const { case: name, metric, value, floor, ratio } of rows) {
  line([name, metric, String(value), String(floor), ratio.toFixed(2)]);
}
Deno.mkdirSync("dist/bench", { recursive: true });
Deno.writeTextFileSync("dist/bench/programs.json", JSON.stringify(rows, null, 2) + "\n");

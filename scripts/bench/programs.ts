/**
 * What a packet costs in each program, in nanoseconds, beside a floor measured in the same run: a
 * program that parses a TCP packet and does one hash look-up. Both are run by way of a trampoline
 * that makes the packet anew before each run; its own cost is in every figure.
 *
 * Usage: deno run -A scripts/bench/programs.ts. Writes dist/bench/programs.json.
 */

import type { BpfProgram } from "../../datapath/bpf/mod.ts";
import {
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

// 40,000 events fit into the buffer
const REPEAT = 40_000, ROUNDS = 15;

interface Row {
  case: string;
  metric: string;
  value: number;
  unit: string;
  floor: number;
  ratio: number;
}

type Family = "ipv4" | "ipv6";

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

/** The best of some rounds: what disturbs a run only adds to it. */
function nanoseconds(
  program: BpfProgram,
  made: Uint8Array,
  ifindex: number,
  verdict: number,
  between: () => void,
): number {
  const ctx = skbContext(ifindex);
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const result = program.testRun({ data: made, ctx, repeat: REPEAT });
    between();
    if (result.retval !== verdict) {
      throw new Error(`Verdict ${result.retval} instead of ${verdict}: the figure means nothing`);
    }
    best = Math.min(best, result.duration);
  }
  return best;
}

const rows: Row[] = [];
for (const family of ["ipv4", "ipv6"] as const) {
  using trampoline = new Trampoline();
  using node = new TestNode();
  const drain = () => void node.events.drain(() => {});
  const measure = (
    name: string,
    target: BpfProgram,
    made: Uint8Array,
    { ifindex = POD.ifindex, verdict = VERDICT.redirect, ...before }: Before & {
      ifindex?: number;
      verdict?: number;
    } = {},
  ) => {
    // the floor right before: the two figures of a row were measured on the same machine's mood
    const options = { restore: made, ...before };
    const floorRun = trampoline.aim(trampoline.floor, options);
    const floor = nanoseconds(floorRun, made, ifindex, VERDICT.ok, drain);
    const value = nanoseconds(trampoline.aim(target, options), made, ifindex, verdict, drain);
    const ratio = Math.round(value / floor * 100) / 100;
    rows.push({ case: `${name}, ${family}`, metric: "packet", value, unit: "ns", floor, ratio });
  };
  const fromPod = node.program("from_pod");
  const send = (made: Uint8Array, pod: TestPod = POD) => node.fromPod(made, pod);
  const there = packet(family, POD, OTHER_POD, TCP.ack);
  const back = packet(family, OTHER_POD, POD, TCP.ack, [8080, 40000]);
  send(there);
  send(back, OTHER_POD);
  measure("established, to a pod of the node", fromPod, there);
  measure("reply, to a pod of the node", fromPod, back, { ifindex: OTHER_POD.ifindex });

  const away = packet(family, POD, REMOTE, TCP.ack);
  send(away);
  measure("established, into the tunnel", fromPod, away);
  const arrived = packet(family, REMOTE, POD, TCP.ack, [8080, 40000]);
  measure("reply, out of the tunnel", node.program("from_overlay"), arrived, {
    ifindex: TUNNEL_IFINDEX,
    identity: REMOTE.identity,
  });

  const toService = packet(family, POD, SERVICE, TCP.ack, [40001, SERVICE.port]);
  send(toService);
  measure("established, to a service", fromPod, toService);
  const answer = packet(family, OTHER_POD, POD, TCP.ack, [SERVICE.backendPort, 40001]);
  measure("reply, of a service", fromPod, answer, { ifindex: OTHER_POD.ifindex });

  // another source port in each run: a new row, and the oldest of a full table makes room for it
  const syn = packet(family, POD, OTHER_POD, TCP.syn);
  const vary = family === "ipv4" ? 34 : 54;
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

console.log(
  `${"case".padEnd(44)} ${"ns".padStart(7)} ${"floor".padStart(7)} ${"ratio".padStart(6)}`,
);
for (const row of rows) {
  console.log(
    `${row.case.padEnd(44)} ${String(row.value).padStart(7)} ${String(row.floor).padStart(7)} ${
      row.ratio.toFixed(2).padStart(6)
    }`,
  );
}
Deno.mkdirSync("dist/bench", { recursive: true });
Deno.writeTextFileSync("dist/bench/programs.json", JSON.stringify(rows, null, 2) + "\n");

/**
 * Minutes of random conversations within a node with the sockmap, and the same ones without it on
 * another: the same bytes everywhere, nothing hangs, and at the end no socket, no row and no
 * descriptor is left. Meanwhile policies change, pods come and go, and agents are restarted.
 *
 * Usage: deno run -A scripts/soak_sockmap.ts [SECONDS]; exits 1 when something is wrong. Needs dist/pilus.
 */

import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import type { MapView } from "../agent/api/views.ts";
import type { LabHost, LabNode, LabPod } from "../cli/lab/lab.ts";
import { settle } from "../tests/lab/clients.ts";
import { withLab } from "../tests/lab/test_lab.ts";

const SECONDS = Number(Deno.args[0] ?? 300);
const PORT = 7100;
/** Conversations of a round, by each client. */
const COUNT = 30;
/** A round that has not ended by then hangs. */
const ROUND_MS = 120_000;
/** The labs' own: answers of servers that were killed, and neighbours. */
const CONNECTIONS_LEFT = 50;
const STREAMS = [
  "/usr/bin/python3",
  "-SE",
  fromFileUrl(new URL("../tests/lab/streams.py", import.meta.url)),
];

/** What a client says of its conversations. */
interface Summary {
  ok: boolean;
  conversations: number;
  bytes: number;
  failures: unknown[];
}

/** One node and who talks there. */
interface Side {
  node: LabNode;
  server: LabPod;
  clients: { name: string; host: LabHost; address: string }[];
  conversations: number;
  bytes: number;
}

const totals = ({ conversations, bytes }: Summary) => [conversations, bytes];

async function rows(node: LabNode, name: string): Promise<number> {
  const maps = await node.client.call<MapView[]>("/v1/maps");
  return maps.find((map) => map.name === name)!.entries!;
}

/** Sockets of a network namespace that are open. */
async function sockets(host: LabHost): Promise<number> {
  const { stdout } = await host.exec(["cat", "/proc/net/sockstat", "/proc/net/sockstat6"]);
  return [...stdout.matchAll(/^TCP6?: inuse (\d+)/gm)].reduce((sum, [, n]) => sum + Number(n), 0);
}

function descriptors(node: LabNode): number {
  return [...Deno.readDirSync(`/proc/${node.agentPid}/fd`)].length;
}

function policy(app: string, allowed: string): string {
  return JSON.stringify({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: `guard-${app}`, namespace: "demo" },
    spec: {
      endpointSelector: { matchLabels: { app } },
      ingress: [
        { fromEndpoints: [{ matchLabels: { role: "client" } }] },
        { fromEntities: [allowed] },
      ],
    },
  });
}

function service(app: string, clusterIP: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: app, namespace: "demo" },
    spec: { clusterIP, selector: { app }, ports: [{ port: PORT }] },
  });
}

async function plan(host: LabHost, address: string, seed: number): Promise<Summary> {
  const words = [...STREAMS, "plan", address, String(PORT), String(COUNT), String(seed)];
  const signal = AbortSignal.timeout(ROUND_MS);
  const { code, stdout, stderr } = await host.exec(words, { signal });
  assert(!signal.aborted, `a round with seed ${seed} from ${host.name} hangs`);
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout) as Summary;
}

await withLab({ nodes: 2 }, async ({ lab, a, b, pod, expectDrops }) => {
  expectDrops("Address is of no endpoint here", "Endpoint not ready", "No route");
  const modes = new Map([[a, "on"], [b, "off"]]);
  const restart = async (node: LabNode) => {
    await node.stopAgent();
    node.startAgent(["--sockmap", modes.get(node)!]);
    await node.ready();
  };
  const servers: Deno.ChildProcess[] = [];
  const serve = async (host: LabHost) => {
    const child = host.spawn([...STREAMS, "serve", String(PORT)], {}, { stderr: "inherit" });
    servers.push(child);
    const lines = child.stdout.getReader();
    await lines.read();
    lines.releaseLock();
    await child.stdout.cancel();
  };
  const make = async (node: LabNode, vip: string): Promise<Side> => {
    await restart(node);
    const app = `server-${node.name}`;
    const server = await pod(node, app, { server: false, labels: { app } });
    const client = await pod(node, `client-${node.name}`, {
      server: false,
      labels: { role: "client" },
    });
    for (const host of [server, node]) await serve(host);
    lab.apply(app, service(app, vip));
    return {
      node,
      server,
      clients: [
        { name: "pod to pod", host: client, address: server.ipv4 },
        { name: "pod to pod, IPv6", host: client, address: server.ipv6 },
        { name: "pod to its node", host: client, address: node.ipv4 },
        { name: "node to pod", host: node, address: server.ipv4 },
        { name: "pod to service", host: client, address: vip },
      ],
      conversations: 0,
      bytes: 0,
    };
  };
  const sides = [await make(a, "10.96.0.81"), await make(b, "10.96.0.82")];
  for (const { node } of sides) {
    const { sockmap } = await node.status();
    assertEquals(sockmap.on, modes.get(node) === "on", sockmap.reason);
  }
  const hosts = sides.flatMap((
    { clients, server },
  ) => [...clients.map(({ host }) => host), server]);
  const before = {
    sockets: await Promise.all(hosts.map(sockets)),
    fds: sides.map((s) => descriptors(s.node)),
  };

  const end = performance.now() + SECONDS * 1000;
  let round = 0;
  for (; performance.now() < end; round++) {
    const works = sides.map(({ clients }) =>
      clients.map(({ host, address }, i) => plan(host, address, round * clients.length + i))
    );
    // what must not matter to those who talk
    for (const { node } of sides) {
      lab.apply(
        `guard-${node.name}`,
        policy(`server-${node.name}`, round % 2 ? "host" : "cluster"),
      );
      const guest = await pod(node, `guest-${node.name}-${round}`, { server: false });
      await guest.delete();
      lab.remove(`pod-demo-guest-${node.name}-${round}`);
      if (round % 4 === 3) await restart(node);
    }
    const results = await Promise.all(works.map((work) => Promise.all(work)));
    for (const [side, summaries] of results.entries()) {
      for (const [i, summary] of summaries.entries()) {
        const { name } = sides[side]!.clients[i]!;
        assert(summary.ok, `${name}, round ${round}: ${JSON.stringify(summary.failures)}`);
        assertEquals(totals(summary), totals(results[0]![i]!), `${name}: another plan`);
        sides[side]!.conversations += summary.conversations;
        sides[side]!.bytes += summary.bytes;
      }
    }
    if (Deno.stdout.isTerminal()) {
      const left = Math.max(0, Math.round((end - performance.now()) / 1000));
      Deno.stdout.writeSync(new TextEncoder().encode(`\rround ${round + 1}, ${left} s left  `));
    }
  }

  for (const child of servers) {
    child.kill("SIGKILL");
    await child.status;
  }
  for (const { node } of sides.slice(0, 1)) {
    for (const name of ["pilus_sockets", "pilus_socket_refs"]) {
      assertEquals(await settle(() => rows(node, name), (n) => n === 0), 0, `rows of ${name}`);
    }
  }
  for (const [i, host] of hosts.entries()) {
    const open = await settle(() => sockets(host), (n) => n <= before.sockets[i]!);
    assert(
      open <= before.sockets[i]!,
      `${host.name}: ${open} sockets, ${before.sockets[i]} before`,
    );
  }
  for (const [i, { node }] of sides.entries()) {
    const open = await settle(() => Promise.resolve(descriptors(node)), (n) => n <= before.fds[i]!);
    assert(
      open <= before.fds[i]! + 2,
      `${node.name}: ${open} descriptors, ${before.fds[i]} before`,
    );
    const live = await settle(() => rows(node, "pilus_ct"), (n) => n < CONNECTIONS_LEFT, 60_000);
    assert(live < CONNECTIONS_LEFT, `${node.name} has ${live} connections still`);
  }
  console.log(`\n${round} rounds\nnode      sockmap     conversations      MiB`);
  for (const { node, conversations, bytes } of sides) {
    const columns = [
      node.name.padEnd(8),
      modes.get(node)!.padEnd(10),
      String(conversations).padStart(13),
      (bytes / 2 ** 20).toFixed(0).padStart(7),
    ];
    console.log(columns.join("  "));
  }
  console.log("the same bytes, and no socket, row or descriptor left");
});

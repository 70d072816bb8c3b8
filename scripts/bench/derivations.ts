/**
 * What one more row costs in the agent's derivations when there are many already, beside deriving
 * everything from the same tables. No kernel. Every figure is the median of some rounds, in
 * milliseconds from the change of the table until all that follows from it is derived.
 *
 * Usage: deno run -A scripts/bench/derivations.ts. Writes dist/bench/derivations.json; exits 1 when a
 * limit is not kept.
 */

import { identityTable, remoteAddressTable } from "../../agent/cluster/cluster_store.ts";
import type { IdentityRow, RemoteAddress } from "../../agent/cluster/rows.ts";
import { identityLabels } from "../../agent/cluster/labels.ts";
import { settled } from "../../agent/core/schedule.ts";
import { Table } from "../../agent/core/table.ts";
import { createResourceTables } from "../../agent/kubernetes/resource_tables.ts";
import type {
  CiliumClusterwideNetworkPolicy,
  NetworkPolicy,
} from "../../agent/kubernetes/resources.ts";
import { identifiedTable } from "../../agent/node/identity/endpoint_identities.ts";
import { localAddressTable } from "../../agent/node/ipcache/ipcache.ts";
import { deriveAddressRows } from "../../agent/node/ipcache/ipcache_part.ts";
import { deriveNodes } from "../../agent/node/nodes/nodes.ts";
import { Cookies } from "../../agent/node/policy/cookies.ts";
import { apiServerTable } from "../../agent/node/policy/api_servers.ts";
import { derivePolicies, localSubjectTable } from "../../agent/node/policy/derive.ts";
import type { LocalSubject } from "../../agent/node/policy/policy_sets.ts";

const NAMESPACES = 500, APPS = 40, POLICIES = 10, PODS = 50_000, SUBJECTS = 100, ROUNDS = 25;

/** Milliseconds that one more row may cost. */
const LIMIT_MS = 5;

interface Row {
  case: string;
  metric: string;
  value: number;
  unit: string;
  /** Everything derived from the same tables. */
  floor: number;
  ratio: number;
}

const rows: Row[] = [];
let failed = false;

function report(name: string, metric: string, value: number, whole: number): void {
  rows.push({ case: name, metric, value, unit: "ms", floor: whole, ratio: value / whole });
  const kept = metric === "all" || value < LIMIT_MS;
  failed ||= !kept;
  console.log(
    `${name.padEnd(34)} ${metric.padEnd(30)} ${value.toFixed(2).padStart(9)} ms  ` +
      (metric === "all" ? "" : `at most ${LIMIT_MS} ms, `) +
      `1/${Math.round(whole / value)} of all${kept ? "" : "  NOT KEPT"}`,
  );
}

async function timed(change: () => void): Promise<number> {
  const start = performance.now();
  change();
  await settled();
  return performance.now() - start;
}

/** The median of adding a row and taking it away again. */
async function oneMore(add: (round: number) => void, remove: (round: number) => void) {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    times.push(await timed(() => add(round)), await timed(() => remove(round)));
  }
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}

const labelsOf = (namespace: number, app: number | string) =>
  identityLabels(
    { metadata: { name: "p", namespace: `ns${namespace}`, labels: { app: `app${app}` } } },
    {
      kind: "Namespace",
      metadata: {
        name: `ns${namespace}`,
        namespace: "",
        labels: { team: `team${namespace % 50}` },
      },
    },
  );

function identity(id: number, namespace: number, app: number | string): IdentityRow {
  return { id, labels: labelsOf(namespace, app) };
}

function address(index: number, identity: number): RemoteAddress {
  return {
    prefix: `10.${index >> 16}.${index >> 8 & 255}.${index & 255}`,
    identity,
    node: "192.168.0.1",
    key: 0,
    cluster: "default",
    pod: `ns${index % NAMESPACES}/pod${index}`,
    labels: {},
    namedPorts: index % 4 === 0 ? [{ name: "http", port: 8080, protocol: "TCP" }] : [],
    ready: true,
  };
}

/** Allows an app from another one of its namespace, from a team, and sometimes from a prefix. */
function policy(namespace: number, index: number | string, app: number): NetworkPolicy {
  const prefix = namespace % 5 === 0
    ? [{ ipBlock: { cidr: `172.${16 + app % 16}.${namespace & 255}.0/24` } }]
    : [];
  return {
    kind: "NetworkPolicy",
    metadata: { name: `p${index}`, namespace: `ns${namespace}`, labels: {} },
    spec: {
      podSelector: { matchLabels: { app: `app${app}` } },
      ingress: [{
        from: [
          { podSelector: { matchLabels: { app: `app${app + 1}` } } },
          {
            namespaceSelector: { matchLabels: { team: `team${namespace % 50}` } },
            podSelector: { matchLabels: { app: "app0" } },
          },
          ...prefix,
        ],
        ports: [{ port: 8080 }, { protocol: "UDP", port: "http" }],
      }],
    },
  };
}

/** For 20 of the endpoints: with their rules for 20,000 identities each, pilus_rules is half full. */
const wholeCluster: CiliumClusterwideNetworkPolicy = {
  kind: "CiliumClusterwideNetworkPolicy",
  metadata: { name: "cluster", namespace: "", labels: {} },
  spec: {
    endpointSelector: { matchLabels: { app: "app3" } },
    ingress: [{ fromEntities: ["cluster"] }],
  },
};

/** Policies with 20,000 identities, 5,000 policies, 50,000 pods and 100 endpoints on this node. */
async function policies(name: string, clusterwide: boolean): Promise<void> {
  const tables = createResourceTables();
  const cluster = {
    addresses: remoteAddressTable(),
    identities: identityTable(),
    apiServers: apiServerTable(),
  };
  const subjects = localSubjectTable();
  const at = (index: number) => ({
    namespace: index % NAMESPACES,
    app: Math.floor(index / NAMESPACES) % APPS,
  });
  const idOf = (index: number) => 256 + index % (NAMESPACES * APPS);
  const count = NAMESPACES * APPS;
  for (let i = 0; i < count; i++) {
    cluster.identities.set(identity(256 + i, at(i).namespace, at(i).app));
  }
  for (let i = 0; i < PODS; i++) cluster.addresses.set(address(i, idOf(i)));
  for (let namespace = 0; namespace < NAMESPACES; namespace++) {
    for (let i = 0; i < POLICIES; i++) {
      tables.NetworkPolicy.set(policy(namespace, i, i * 3));
    }
  }
  const subject = (id: number): LocalSubject => ({
    id,
    labels: labelsOf(id % 20 * 5, Math.floor(id / 20) % 6 * 3),
    namedPorts: [{ name: "http", port: 8080, protocol: "TCP" }],
  });
  for (let i = 1; i <= SUBJECTS; i++) subjects.set(subject(i));
  if (clusterwide) tables.CiliumClusterwideNetworkPolicy.set(wholeCluster);
  await settled();
  const derive = () => derivePolicies({ ...tables, ...cluster, subjects, cookies: new Cookies() });
  const wholes: number[] = [];
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    using _ = derive();
    await settled();
    wholes.push(performance.now() - start);
  }
  const whole = wholes.sort((a, b) => a - b)[1]!;
  report(name, "all", whole, whole);

  using _derived = derive();
  await settled();
  const { NetworkPolicy } = tables;
  const { identities, addresses } = cluster;
  report(
    name,
    "one more identity",
    await oneMore(
      (i) => identities.set(identity(60_000 + i, 5, `0`)),
      (i) => identities.delete(`${60_000 + i}`),
    ),
    whole,
  );
  report(
    name,
    "one more pod elsewhere",
    await oneMore(
      (i) => addresses.set(address((PODS + i) * 4, idOf(i))),
      (i) => addresses.delete(addresses.keyOf(address((PODS + i) * 4, idOf(i)))),
    ),
    whole,
  );
  report(
    name,
    "one more pod here",
    await oneMore(
      (i) => subjects.set(subject(1000 + i)),
      (i) => subjects.delete(`${1000 + i}`),
    ),
    whole,
  );
  report(
    name,
    "one more policy",
    await oneMore(
      (i) => NetworkPolicy.set(policy(5, `x${i}`, 3)),
      (i) => NetworkPolicy.delete(`ns5/px${i}`),
    ),
    whole,
  );
}

/** Rows of the kernel's maps for 50,000 pods elsewhere. */
async function addressRows(): Promise<void> {
  const cluster = {
    addresses: remoteAddressTable(),
    identities: identityTable(),
    apiServers: apiServerTable(),
  };
  const tables = createResourceTables();
  const subjects = localSubjectTable();
  using nodes = deriveNodes(tables.Node, "bench");
  using policies = derivePolicies({ ...tables, ...cluster, subjects, cookies: new Cookies() });
  using derived = deriveAddressRows({
    nodes: nodes.nodes,
    own: new Table({ name: "own-addresses", key: ({ address }) => String(address) }),
    published: cluster.addresses,
    identity: { identified: identifiedTable(), localAddresses: localAddressTable() },
    policy: { tables: policies, apiServers: cluster.apiServers },
    services: new Table({ name: "service-addresses", key: ({ address }) => String(address) }),
  });
  const pods = Array.from({ length: PODS }, (_, i) => address(i, 256 + i % 200));
  const whole = await timed(() => cluster.addresses.replace(pods));
  const name = "rows of addresses";
  report(name, "all", whole, whole);
  const added = (i: number) => address(PODS + i, 256);
  const one = await oneMore(
    (i) => cluster.addresses.set(added(i)),
    (i) => cluster.addresses.delete(cluster.addresses.keyOf(added(i))),
  );
  report(name, "one more address", one, whole);
  if (derived.addressRows.size !== PODS) throw new Error("Rows are missing, or too many");
}

await addressRows();
await policies("policies of namespaces", false);
await policies("and one for the whole cluster", true);
Deno.mkdirSync("dist/bench", { recursive: true });
Deno.writeTextFileSync("dist/bench/derivations.json", JSON.stringify(rows, null, 2) + "\n");
if (failed) Deno.exit(1);

/**
 * What one more address costs an agent that knows very many: the time from the store's row to the rows
 * of the kernel's tables.
 *
 * Usage: deno run -A scripts/bench/addresses.ts. Exits 1 when the limit is not kept.
 */

import { identityTable, remoteAddressTable } from "../../agent/cluster/cluster_store.ts";
import type { RemoteAddress } from "../../agent/cluster/rows.ts";
import { settled } from "../../agent/core/schedule.ts";
import { Table } from "../../agent/core/table.ts";
import { createResourceTables } from "../../agent/kubernetes/resource_tables.ts";
import { identifiedTable } from "../../agent/node/identity/endpoint_identities.ts";
import { localAddressTable } from "../../agent/node/ipcache/ipcache.ts";
import { deriveAddressRows } from "../../agent/node/ipcache/ipcache_part.ts";
import { deriveNodes } from "../../agent/node/nodes/nodes.ts";
import { Cookies } from "../../agent/node/policy/cookies.ts";
import { derivePolicies, localSubjectTable } from "../../agent/node/policy/derive.ts";

const ADDRESSES = 50_000;
const ROUNDS = 200;
const LIMIT_MS = 5;

function address(n: number): RemoteAddress {
  return {
    prefix: `10.${200 + (n >> 16)}.${n >> 8 & 255}.${n & 255}`,
    identity: 1000 + n % 200,
    node: `192.168.3.${n % 100}`,
    key: 0,
    cluster: "default",
    pod: `bench/pod-${n}`,
    labels: {},
    namedPorts: [],
    ready: true,
  };
}

const cluster = { addresses: remoteAddressTable(), identities: identityTable() };
const tables = createResourceTables();
const subjects = localSubjectTable();
using nodes = deriveNodes(tables.Node, "bench");
using policies = derivePolicies({ ...tables, ...cluster, subjects, cookies: new Cookies() });
using derived = deriveAddressRows({
  nodes: nodes.nodes,
  own: new Table({ name: "own-addresses", key: ({ address }) => String(address) }),
  published: cluster.addresses,
  identity: { identified: identifiedTable(), localAddresses: localAddressTable() },
  policy: { tables: policies },
  services: new Table({ name: "service-addresses", key: ({ address }) => String(address) }),
});

const start = performance.now();
cluster.addresses.replace(Array.from({ length: ADDRESSES }, (_, n) => address(n)));
await settled();
console.log(`${ADDRESSES} addresses at once: ${(performance.now() - start).toFixed(0)} ms`);

const times: number[] = [];
for (let i = 0; i < ROUNDS; i++) {
  const before = performance.now();
  cluster.addresses.set(address(ADDRESSES + i));
  await settled();
  times.push(performance.now() - before);
}
if (derived.addressRows.size !== ADDRESSES + ROUNDS) throw new Error("Rows are missing");
times.sort((a, b) => a - b);
const at = (q: number) => times[Math.ceil(ROUNDS * q) - 1]!;
console.log(
  `one more address: median ${at(0.5).toFixed(2)} ms, p99 ${at(0.99).toFixed(2)} ms ` +
    `(at most ${LIMIT_MS} ms)`,
);
if (at(0.5) > LIMIT_MS) Deno.exit(1);

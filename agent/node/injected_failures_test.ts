/** Derivations of the agent keep their rows when they fail, are listed, and recover. */

import { assert, assertEquals } from "@std/assert";
import { identityTable, remoteAddressTable } from "../cluster/cluster_store.ts";
import { derivationFailures } from "../core/derivation_failures.ts";
import { derivedTables } from "../core/derive.ts";
import { settled } from "../core/schedule.ts";
import { Table } from "../core/table.ts";
import { createResourceTables } from "../kubernetes/resource_tables.ts";
import { deriveLocal } from "./identity/identity_part.ts";
import { identifiedTable } from "./identity/endpoint_identities.ts";
import type { LinkAddress } from "../../datapath/net/address.ts";
import { parseCidr } from "../../datapath/net/ip.ts";
import { deriveNodeAddresses } from "./nodes/node_addresses.ts";
import { deriveOwnAddresses } from "./ipcache/own_addresses.ts";
import { deriveAddressRows } from "./ipcache/ipcache_part.ts";
import { deriveNodes } from "./nodes/nodes.ts";
import { Cookies } from "./policy/cookies.ts";
import { deriveApiServers } from "./policy/api_servers.ts";
import { derivePolicies } from "./policy/derive.ts";
import { derivePeerProblems } from "./policy/peer_problems.ts";
import { deriveFrontends, type FrontendOptions } from "./services/frontends.ts";
import { deriveServiceRows } from "./services/kernel/service_rows.ts";

const NAME = "injected";

/** A row that throws whatever is asked of it. */
function brokenRow(): object {
  const fail = () => {
    throw new Error("injected failure");
  };
  return new Proxy({}, { get: fail, has: fail, ownKeys: fail, getOwnPropertyDescriptor: fail });
}

/** The derivations that need no kernel, each with some rows. */
function derivations(): Disposable {
  const stack = new DisposableStack();
  const tables = createResourceTables();
  const identified = identifiedTable();
  const at = (name: string, labels = {}) => ({ name, namespace: "demo", labels });
  tables.Node.set({
    kind: "Node",
    metadata: { name: "here", namespace: "", labels: {} },
    spec: { podCIDRs: ["10.0.1.0/24"] },
    status: { addresses: [{ type: "InternalIP", address: "192.168.0.1" }] },
  });
  tables.Pod.set({ kind: "Pod", metadata: at("web", { app: "web" }) });
  tables.Service.set({
    kind: "Service",
    metadata: at("web"),
    spec: { clusterIP: "10.96.0.1", selector: { app: "web" }, ports: [{ port: 80 }] },
  });
  tables.NetworkPolicy.set({
    kind: "NetworkPolicy",
    metadata: at("web"),
    spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "172.16.0.0/12" } }] }] },
  });
  const deviceAddresses = new Table<LinkAddress>({
    name: "addresses",
    key: ({ ifindex }) => String(ifindex),
  });
  deviceAddresses.set({
    ifindex: 2,
    cidr: parseCidr("192.168.0.1/24"),
    scope: 0,
    tentative: false,
    deprecated: false,
    secondary: false,
  });
  const { nodes } = stack.use(deriveNodes(tables.Node, "here"));
  const { own } = stack.use(deriveOwnAddresses(deviceAddresses));
  const { apiServers } = stack.use(
    deriveApiServers({ slices: tables.EndpointSlice, nodes, own, given: ["192.168.0.9"] }),
  );
  const cluster = { addresses: remoteAddressTable(), identities: identityTable(), apiServers };
  cluster.identities.set({ id: 300, labels: { "k8s:app": "web" } });
  identified.set({
    endpoint: {
      id: 1,
      containerId: "c1",
      ifname: "eth0",
      netns: "/run/netns/c1",
      netnsCookie: 77,
      namespace: "demo",
      pod: "web",
      hostIfname: "lxc1",
      hostIfindex: 9,
      hostMac: "02:00:00:00:00:01",
      podMac: "02:00:00:00:00:02",
      ipv4: "10.0.1.5",
      mtu: 1450,
      createdAt: "2026-11-27T00:00:00Z",
      state: "ready",
    },
    identity: 300,
    labels: { "k8s:io.kubernetes.pod.namespace": "demo", "k8s:app": "web" },
    namedPorts: [],
    serviceAccount: "default",
  });
  const options: FrontendOptions = {
    nodeName: "here",
    routing: "vxlan",
    balancing: { mode: "snat", dispatch: "ipip", algorithm: "maglev" },
    nodePortRange: [30000, 32767],
  };
  const local = stack.use(deriveLocal(identified, { initEnforcement: "always" }));
  const { localAddresses, subjects } = local;
  const policy = stack.use(
    derivePolicies({ ...tables, ...cluster, subjects, cookies: new Cookies() }),
  );
  stack.use(derivePeerProblems({ compiled: policy.compiled, apiServers, nodes }));
  const { nodeAddresses } = stack.use(
    deriveNodeAddresses({ nodes, addresses: deviceAddresses }, "here"),
  );
  const { frontends } = stack.use(
    deriveFrontends({ ...tables, ...cluster, nodes, nodeAddresses, localAddresses }, options),
  );
  const { addresses } = stack.use(
    deriveServiceRows({ frontends, nodes }, {
      routing: "vxlan",
      clusterCidrs: ["10.0.0.0/16"],
      adopted: [],
    }),
  );
  stack.use(deriveAddressRows({
    nodes,
    own,
    published: cluster.addresses,
    identity: { identified, localAddresses },
    policy: { tables: policy, apiServers: cluster.apiServers },
    services: addresses,
  }));
  return stack;
}

Deno.test("each derivation keeps its rows when an input is broken, is listed, and recovers", async () => {
  using _ = derivations();
  await settled();
  assertEquals(derivationFailures(), []);

  const outputs = new Map(
    [...derivedTables()].map(([output, inputs]) => [output as Table<unknown>, inputs]),
  );
  const inputs = new Set([...outputs.values()].flat() as Table<unknown>[]);
  assert(outputs.size >= 18, String(outputs.size));
  const failed = new Set<string>();
  // a row more, and some in the place of others: of the ipcache addresses and prefixes
  const places = [...inputs].flatMap((input) =>
    [NAME, ...input.keys().slice(0, 8)].map((key) => ({ input, key }))
  );
  for (const { input, key } of places) {
    const previous = input.get(key);
    const others = [...outputs.keys()].filter((output) => output !== input)
      .map((output) => [output, output.rows()] as const);
    input.set(brokenRow(), key);
    await settled();
    const failures = derivationFailures();
    const names = new Set(failures.map(({ table }) => table));
    for (const { table, reason } of failures) {
      assertEquals(reason, "injected failure");
      failed.add(table);
    }
    for (const [output, rows] of others) {
      const what = `${output.name} while ${key} of ${input.name} is broken`;
      if (names.has(output.name)) assertEquals(output.rows(), rows, what);
    }
    if (previous === undefined) input.delete(key);
    else input.set(previous, key);
    await settled();
    assertEquals(derivationFailures(), [], `${key} of ${input.name} mended`);
    for (const [output, rows] of others) {
      assertEquals(output.rows(), rows, `${output.name} after ${key} of ${input.name}`);
    }
  }
  const untried = [...outputs.keys()].map(({ name }) => name).filter((name) => !failed.has(name));
  // problems of groups fail with their groups
  assertEquals(untried.filter((name) => !name.endsWith("-problems")), []);
});

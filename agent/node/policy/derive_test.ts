import { assert, assertEquals, assertNotEquals, assertStrictEquals } from "@std/assert";
import { settled } from "../../core/schedule.ts";
import { identityTable, remoteAddressTable } from "../../cluster/cluster_store.ts";
import type { RemoteAddress } from "../../cluster/rows.ts";
import { identityLabels } from "../../cluster/labels.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { NetworkPolicy } from "../../kubernetes/resources.ts";
import { apiServerTable } from "./api_servers.ts";
import { Cookies } from "./cookies.ts";
import { derivePolicies, localSubjectTable } from "./derive.ts";
import { resolve } from "./resolve.ts";
import { generator, namespaceOf, pods, random } from "./testdata/manifests.ts";
import { policiesFor, policyHash } from "./testdata/whole.ts";

Deno.test("derivePolicies() follows its tables, and touches no endpoint but those that a change is about", async () => {
  const tables = createResourceTables();
  const subjects = localSubjectTable();
  const cluster = {
    addresses: remoteAddressTable(),
    identities: identityTable(),
    apiServers: apiServerTable(),
  };
  using policy = derivePolicies({ ...tables, ...cluster, subjects, cookies: new Cookies() });
  const names = Array.from({ length: 100 }, (_, i) => `app${i}`);
  for (const [i, app] of names.entries()) {
    const metadata = { name: app, namespace: "red", labels: { app } };
    const labels = identityLabels({ metadata }, namespaceOf("red"));
    cluster.identities.set({ id: 300 + i, labels });
    subjects.set({ id: i + 1, labels, namedPorts: [] });
  }
  const policyFor = (app: string, port: number): NetworkPolicy => ({
    kind: "NetworkPolicy",
    metadata: { name: app, namespace: "red", labels: {} },
    spec: {
      podSelector: { matchLabels: { app } },
      ingress: [{
        from: [{ podSelector: {} }, { ipBlock: { cidr: "10.0.0.0/8" } }],
        ports: [{ port }],
      }],
    },
  });
  for (const app of names) tables.NetworkPolicy.set(policyFor(app, 80));
  await settled();
  assertEquals(policy.wanted.size, 100);
  assertEquals(policy.cidrs.size, 1);
  const before = policy.wanted.get("1")!, other = policy.wanted.get("2")!;
  assertEquals(before.policy.entries.length, 100 + 1 + 1);

  for (let i = 0; i < 5; i++) {
    tables.NetworkPolicy.set(policyFor("app0", 81 + i));
    await settled();
  }
  assertNotEquals(policy.wanted.get("1")!.hash, before.hash);
  assertStrictEquals(policy.wanted.get("2"), other);
});

Deno.test("derivePolicies() after each of 1,000 random changes is what everything derived anew is", async () => {
  const below = random(20261127);
  const { pick, policy } = generator(below);
  const tables = createResourceTables();
  const subjects = localSubjectTable();
  const cookies = new Cookies();
  const cluster = {
    addresses: remoteAddressTable(),
    identities: identityTable(),
    apiServers: apiServerTable(),
  };
  using derived = derivePolicies({ ...tables, ...cluster, subjects, cookies });
  const all = pods();
  const address = (identity: number): RemoteAddress => {
    const n = below(20);
    return {
      prefix: `10.0.0.${n}`,
      identity,
      node: "192.168.0.1",
      key: 0,
      cluster: "default",
      pod: `red/pod${n}`,
      labels: {},
      namedPorts: below(4) ? [...pick(all).namedPorts] : [],
      ready: true,
    };
  };
  const step = () => {
    const pod = pick(all), i = below(8);
    switch (below(10)) {
      case 0:
      case 1:
      case 2: {
        const resource = policy(i);
        if (resource.kind === "NetworkPolicy") tables.NetworkPolicy.set(resource);
        else if (resource.kind === "CiliumNetworkPolicy") tables.CiliumNetworkPolicy.set(resource);
        break;
      }
      case 3: {
        const table = pick([tables.NetworkPolicy, tables.CiliumNetworkPolicy]);
        table.delete(table.keys()[below(Math.max(1, table.size))] ?? "");
        break;
      }
      case 4:
      case 5:
        // at times a number comes to stand for other labels
        cluster.identities.set({ id: pick(all).id, labels: pick([pod, pod, pick(all)]).labels });
        break;
      case 6:
        if (below(3) === 0) cluster.identities.delete(String(pod.id));
        else cluster.addresses.delete(cluster.addresses.keys()[below(20)] ?? "");
        break;
      case 7:
        cluster.addresses.set(address(pod.id));
        break;
      default:
        if (below(4) === 0) subjects.delete(String(1 + i));
        else {
          const isolated = below(4) === 0;
          subjects.set({
            id: 1 + i,
            labels: pod.labels,
            namedPorts: pick(all).namedPorts,
            isolated,
          });
        }
    }
  };
  let entries = 0;
  for (let round = 0; round < 1000; round++) {
    for (let changes = pick([1, 1, 1, 2, 5]); changes > 0; changes--) step();
    await settled();
    const compiled = derived.compiled.rows(), identities = derived.identities.rows();
    assertEquals(derived.wanted.size, subjects.size);
    for (const subject of subjects.rows()) {
      const wanted = derived.wanted.get(String(subject.id))!;
      const expected = resolve(subject, policiesFor(subject.labels, compiled), identities, cookies);
      assertEquals(wanted.policy, expected);
      assertEquals(wanted.hash, policyHash(expected));
      entries += expected.entries.length;
    }
    if (round % 20 === 0) {
      using anew = derivePolicies({ ...tables, ...cluster, subjects, cookies });
      await settled();
      const byId = (rows: { id: number }[]) => rows.sort((a, b) => a.id - b.id);
      assertEquals(byId(anew.cidrs.rows()), byId(derived.cidrs.rows()));
      assertEquals(byId(anew.identities.rows()), byId(derived.identities.rows()));
      assertEquals(anew.compiled.keys().sort(), derived.compiled.keys().sort());
    }
  }
  assert(entries > 10_000, String(entries));
});

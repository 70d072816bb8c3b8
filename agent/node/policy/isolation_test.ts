import { assertEquals, assertMatch } from "@std/assert";
import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import type { LabelMap } from "../../cluster/labels.ts";
import { identityTable, remoteAddressTable } from "../../cluster/cluster_store.ts";
import { settled } from "../../core/schedule.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { CiliumPolicySpec } from "../../kubernetes/resources.ts";
import type { AgentConfig } from "../config.ts";
import { type IdentifiedEndpoint, identifiedTable } from "../identity/endpoint_identities.ts";
import { deriveLocal } from "../identity/identity_part.ts";
import { Cookies, type Direction } from "./cookies.ts";
import { apiServerTable } from "./api_servers.ts";
import { derivePolicies } from "./derive.ts";
import { evaluate } from "./evaluate.ts";

const { init, unmanaged, host, world } = RESERVED_IDENTITIES;
const POD = 300;

function endpoint(id: number, identity: number, labels: LabelMap): IdentifiedEndpoint {
  return {
    endpoint: {
      id,
      containerId: `c${id}`,
      ifname: "eth0",
      netns: "",
      netnsCookie: id,
      namespace: "demo",
      pod: `pod${id}`,
      hostIfname: `lxc${id}`,
      hostIfindex: id,
      hostMac: "02:00:00:00:00:01",
      podMac: "02:00:00:00:00:02",
      mtu: 1500,
      createdAt: "",
      state: "ready",
    },
    identity,
    labels,
    namedPorts: [],
    serviceAccount: "default",
  };
}

/** An endpoint that is init, one that is unmanaged, and a pod, with the cluster-wide policies given. */
async function verdicts(
  initEnforcement: AgentConfig["initEnforcement"],
  ...specs: CiliumPolicySpec[]
) {
  const identified = identifiedTable();
  const ofPod = { "k8s:app": "web", "k8s:io.kubernetes.pod.namespace": "demo" };
  identified.set(endpoint(1, init, { "reserved:init": "" }));
  identified.set(endpoint(2, unmanaged, { "reserved:unmanaged": "" }));
  identified.set(endpoint(3, POD, ofPod));
  using local = deriveLocal(identified, { initEnforcement });
  const tables = createResourceTables();
  for (const [i, spec] of specs.entries()) {
    const metadata = { name: `p${i}`, namespace: "", labels: {} };
    tables.CiliumClusterwideNetworkPolicy.set({
      kind: "CiliumClusterwideNetworkPolicy",
      metadata,
      spec,
    });
  }
  const cookies = new Cookies();
  const identities = identityTable();
  identities.set({ id: POD, labels: ofPod });
  using policies = derivePolicies({
    ...tables,
    addresses: remoteAddressTable(),
    identities,
    subjects: local.subjects,
    apiServers: apiServerTable(),
    cookies,
  });
  await settled();
  const of = (id: number) => policies.wanted.get(String(id))!.policy;
  const ask = (id: number, direction: Direction, identity: number) =>
    evaluate(of(id), { direction, identity, protocol: 6, port: 80 });
  return {
    problems: local.problems.rows(),
    /** Whether a connection of the endpoint with that identity is allowed: to it, from it. */
    both: (id: number, identity: number) =>
      (["ingress", "egress"] as const).map((direction) => ask(id, direction, identity).verdict),
    why: (id: number, direction: Direction, identity: number) =>
      cookies.get(ask(id, direction, identity).cookie)?.text ?? "",
  };
}

const INIT = { matchLabels: { "reserved:init": "" } };
const UNMANAGED = { matchLabels: { "reserved:unmanaged": "" } };

Deno.test("an endpoint without manifest is isolated without any policy, and says why", async () => {
  const { both, why, problems } = await verdicts("always");
  for (const identity of [POD, world, init, unmanaged, 0]) {
    assertEquals(both(1, identity), ["deny", "deny"]);
    assertEquals(both(2, identity), ["allow", "allow"]);
    assertEquals(both(3, identity), ["allow", "allow"]);
  }
  assertEquals(both(1, host), ["allow", "deny"], "its node may probe it");
  assertMatch(why(1, "egress", world), /reserved:init .*no source has the pod's manifest/);
  assertEquals(problems.map(({ source, reason }) => [source, reason]), [
    ["Pod demo/pod1", "ManifestMissing"],
  ]);
});

Deno.test("what policies for init allow passes, and nothing else", async () => {
  const { both } = await verdicts("always", {
    endpointSelector: INIT,
    egress: [{ toEndpoints: [{ matchLabels: { "k8s:app": "web" } }] }],
  });
  assertEquals(both(1, POD), ["deny", "allow"]);
  assertEquals(both(1, world), ["deny", "deny"]);
  const open = await verdicts("always", {
    endpointSelector: INIT,
    egress: [{ toEntities: ["world"] }],
    enableDefaultDeny: { egress: false },
  });
  assertEquals(open.both(1, world), ["deny", "allow"]);
  assertEquals(open.both(1, POD), ["deny", "deny"], "default deny stays, whatever policies say");
});

Deno.test("init-enforcement default leaves an endpoint without manifest to policies alone", async () => {
  const none = await verdicts("default");
  assertEquals(none.both(1, world), ["allow", "allow"]);
  const some = await verdicts("default", { endpointSelector: INIT, ingress: [{}] });
  assertEquals(some.both(1, world), ["deny", "allow"]);
});

Deno.test("policies select what is unmanaged, as subject and as peer", async () => {
  const { both } = await verdicts(
    "always",
    { endpointSelector: UNMANAGED, egress: [{ toEntities: ["world"] }] },
    {
      endpointSelector: { matchLabels: { app: "web" } },
      ingress: [{ fromEntities: ["unmanaged"] }],
    },
  );
  assertEquals(both(2, POD), ["allow", "deny"]);
  assertEquals(both(2, world), ["allow", "allow"]);
  assertEquals(both(3, unmanaged), ["allow", "allow"]);
  assertEquals(both(3, init), ["deny", "allow"]);
});

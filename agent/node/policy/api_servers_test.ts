import { assertEquals } from "@std/assert";
import { identityTable, remoteAddressTable } from "../../cluster/cluster_store.ts";
import { settled } from "../../core/schedule.ts";
import { Table } from "../../core/table.ts";
import { parseManifest } from "../../kubernetes/manifest.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { ResourceKinds } from "../../kubernetes/resources.ts";
import { deriveIpcache, localAddressTable } from "../ipcache/ipcache.ts";
import type { OwnAddress } from "../ipcache/own_addresses.ts";
import { deriveNodes } from "../nodes/nodes.ts";
import { deriveApiServers } from "./api_servers.ts";
import { Cookies, type Direction } from "./cookies.ts";
import { derivePolicies, localSubjectTable } from "./derive.ts";
import { evaluate } from "./evaluate.ts";
import { derivePeerProblems } from "./peer_problems.ts";

const NODES = ["node-a", "node-b", "node-c"].map((name, i) => `
apiVersion: v1
kind: Node
metadata: {name: ${name}}
spec: {podCIDRs: [10.60.${i}.0/24, "fd60:${i}::/64"]}
status: {addresses: [{type: InternalIP, address: 192.168.60.${i}}]}
`).join("---");

/** Everything that policies and addresses are derived from, on node-a. */
class World implements Disposable {
  readonly tables = createResourceTables();
  readonly subjects = localSubjectTable();
  readonly addresses = remoteAddressTable();
  readonly #stack = new DisposableStack();
  readonly #policies;
  readonly #ipcache;
  readonly problems;

  constructor(given: string[] = []) {
    const { tables, subjects, addresses } = this;
    const own = new Table<OwnAddress>({ name: "own", key: ({ address }) => String(address) });
    const { nodes } = this.#stack.use(deriveNodes(tables.Node, "node-a"));
    const cookies = new Cookies();
    const { apiServers } = this.#stack.use(
      deriveApiServers({ slices: tables.EndpointSlice, nodes, own, given }),
    );
    const identities = identityTable();
    const cluster = { addresses, identities, apiServers };
    this.#policies = this.#stack.use(derivePolicies({ ...tables, ...cluster, subjects, cookies }));
    const { cidrs, compiled } = this.#policies;
    this.#ipcache = this.#stack.use(
      deriveIpcache({ nodes, own, addresses, local: localAddressTable(), cidrs, apiServers }),
    ).ipcache;
    this.problems = this.#stack.use(derivePeerProblems({ compiled, apiServers, nodes })).problems;
    subjects.set({ id: 1, labels: {}, namedPorts: [] });
    this.apply(NODES);
  }

  apply(text: string): void {
    const { resources, problems } = parseManifest(text);
    assertEquals(problems, []);
    for (const { kind, resource } of resources) {
      (this.tables[kind] as Table<ResourceKinds[typeof kind]>).set(resource);
    }
  }

  verdict(direction: Direction, ip: string) {
    const row = this.#ipcache.get(ip);
    const identity = row?.identity ?? 9;
    const { policy } = this.#policies.wanted.get("1")!;
    return evaluate(policy, { direction, identity, protocol: 6, port: 6443 }).verdict;
  }

  /** Of the addresses, those that the endpoint may speak to, and be spoken to by. */
  async allowed(direction: Direction, addresses: string[]) {
    await settled();
    return addresses.filter((ip) => this.verdict(direction, ip) === "allow");
  }

  async said(): Promise<string[]> {
    await settled();
    return this.problems.rows().map(({ message }) => message);
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

const policy = (name: string, spec: object, kind = "CiliumClusterwideNetworkPolicy") =>
  JSON.stringify({
    apiVersion: kind === "NetworkPolicy" ? "networking.k8s.io/v1" : "cilium.io/v2",
    kind,
    metadata: { name },
    spec,
  });
const naming = (entity: string) =>
  policy(entity, {
    endpointSelector: {},
    egress: [{ toEntities: [entity] }],
    ingress: [{ fromEntities: [entity] }],
  });
const slice = (addresses: string[], namespace = "default", service = "kubernetes") =>
  JSON.stringify({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "s", namespace, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address] })),
  });

const [HERE, NODE_B, NODE_C, ELSEWHERE, WORLD] = [
  ...["192.168.60.0", "192.168.60.1", "192.168.60.2", "203.0.113.1", "203.0.113.2"],
] as [string, string, string, string, string];
const ALL = [HERE, NODE_B, NODE_C, ELSEWHERE, WORLD];

Deno.test("kube-apiserver is where its EndpointSlices and the option say, here, on other nodes and elsewhere", async () => {
  using world = new World([ELSEWHERE]);
  world.apply(naming("kube-apiserver"));
  // the node itself is always let in
  assertEquals(await world.allowed("egress", ALL), [ELSEWHERE]);
  assertEquals(await world.allowed("ingress", ALL), [HERE, ELSEWHERE]);
  world.apply(slice([NODE_B]));
  assertEquals(await world.allowed("egress", ALL), [NODE_B, ELSEWHERE]);
  world.apply(slice([NODE_C, HERE]));
  assertEquals(await world.allowed("egress", ALL), [HERE, NODE_C, ELSEWHERE]);
  // others' slices are nothing to it
  world.apply(slice([]));
  world.apply(slice([NODE_B], "demo"));
  assertEquals(await world.allowed("egress", ALL), [ELSEWHERE]);
  assertEquals(await world.said(), []);
});

Deno.test("who writes its EndpointSlices makes no pod of them, and no address that pods may get", async () => {
  using world = new World();
  world.apply(naming("kube-apiserver"));
  const [known, vacant] = ["10.60.1.5", "10.60.1.6"] as const;
  world.addresses.set({
    pod: "demo/pod",
    prefix: known,
    identity: 300,
    node: NODE_B,
    key: 0,
    cluster: "default",
    labels: {},
    namedPorts: [],
    ready: true,
  });
  world.apply(slice([known, vacant]));
  assertEquals(await world.allowed("egress", [known, vacant]), []);
  assertEquals(await world.allowed("ingress", [known, vacant]), []);
});

Deno.test("an API server's node is a node still, and one elsewhere is the world's still", async () => {
  const cases: [peers: object, allowed: string[]][] = [
    [{ toEntities: ["remote-node"] }, [NODE_B, NODE_C]],
    [{ toEntities: ["world"] }, [ELSEWHERE, WORLD]],
    [{ toEntities: ["cluster"] }, [HERE, NODE_B, NODE_C]],
    [{ toEntities: ["all"] }, ALL],
    [{ toCIDR: ["203.0.113.0/31"] }, [ELSEWHERE]],
    [{ toCIDRSet: [{ cidr: "203.0.113.0/24", except: [`${ELSEWHERE}/32`] }] }, []],
  ];
  for (const [peers, allowed] of cases) {
    using world = new World();
    world.apply(slice([NODE_B, ELSEWHERE]));
    world.apply(policy("p", { endpointSelector: {}, egress: [peers] }));
    const message = JSON.stringify(peers);
    assertEquals(await world.allowed("egress", ALL), allowed, message);
  }
});

Deno.test("a policy that names kube-apiserver is a problem while nothing says where that is", async () => {
  using world = new World();
  world.apply(naming("kube-apiserver"));
  world.apply(naming("world"));
  const message =
    "spec.ingress[0]: names the entity kube-apiserver, and no address of it is known: " +
    "give --kube-apiserver, or the EndpointSlice of the service default/kubernetes";
  assertEquals(await world.said(), [message]);
  world.apply(slice([NODE_B]));
  assertEquals(await world.said(), []);
  world.apply(slice([]));
  assertEquals(await world.said(), [message]);
});

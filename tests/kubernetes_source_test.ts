/** The source `kubernetes` on a real API server with a real etcd: its tables are what a fresh list says. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parse } from "@std/yaml";
import { Log } from "../agent/core/log.ts";
import type { Table } from "../agent/core/table.ts";
import { kubeconfigReader } from "../agent/kubernetes/client/kubeconfig.ts";
import { type Resource, resourceKey } from "../agent/kubernetes/resources.ts";
import { ServerObjectReader } from "../agent/kubernetes/server_object.ts";
import { pathOf, selectorsOf } from "../agent/kubernetes/watch/watched_kind.ts";
import {
  KubernetesSource,
  type KubernetesSourceOptions,
} from "../agent/sources/kubernetes/kubernetes_source.ts";
import { watchedKinds } from "../agent/sources/kubernetes/watched_kinds.ts";
import { ControlPlane, whyNoControlPlane } from "./kubernetes/control_plane.ts";
import { retry } from "./kubernetes/retry.ts";
import { TcpProxy } from "./kubernetes/tcp_proxy.ts";

const NODE = "node-a";
const NEWCOMER = { name: "newcomer" };
const why = whyNoControlPlane();

/** What was logged. */
class Lines extends Log {
  readonly lines: string[] = [];
  constructor() {
    super("error");
  }
  override warn(message: string, fields = {}): void {
    this.lines.push(`${message} ${JSON.stringify(fields)}`);
  }
  override info(message: string): void {
    this.lines.push(message);
  }
}

function sourceOf(plane: ControlPlane, more: Partial<KubernetesSourceOptions> = {}) {
  return new KubernetesSource({
    access: kubeconfigReader(plane.kubeconfig()),
    nodeName: NODE,
    savedPath: `${plane.directory}/saved.db`,
    userAgent: "pilus/test",
    log: new Lines(),
    timing: { absent: 200 },
    ...more,
  });
}

/** Waits until all tables are what the server says now. */
async function assertInSync(plane: ControlPlane, { tables }: KubernetesSource): Promise<void> {
  await retry(async () => {
    for (const kind of watchedKinds(NODE)) {
      const query = new URLSearchParams(selectorsOf(kind));
      const response = await plane.fetch("GET", `${pathOf(kind)}?${query}`);
      const text = await response.text();
      const { items } = response.status === 404 ? { items: [] } : JSON.parse(text);
      const reader = new ServerObjectReader(kind.kind);
      const wanted = (items as unknown[]).flatMap((item) => reader.read(item).resource ?? []);
      const rows = (tables[kind.kind] as Table<Resource>).rows();
      const sorted = (resources: Resource[]) =>
        Object.fromEntries(resources.map((row) => [resourceKey(row), row] as const).sort());
      assertEquals(sorted(rows), sorted(wanted), kind.kind);
    }
  });
}

const NAMESPACE = "/api/v1/namespaces/default";
const service = (name: string, labels: Record<string, string> = {}, port = 80) => ({
  metadata: { name, labels },
  spec: { ports: [{ port }] },
});
const pod = (name: string, nodeName: string) => ({
  metadata: { name, labels: { app: name } },
  spec: { nodeName, containers: [{ name: "c", image: "none" }] },
});
const slice = (name: string, labels: Record<string, string> = {}, addresses = ["10.1.0.2"]) => ({
  metadata: { name, labels: { "kubernetes.io/service-name": "web", ...labels } },
  addressType: "IPv4",
  endpoints: addresses.map((address) => ({ addresses: [address] })),
});
const SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const POLICIES = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const CILIUM = "/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies";

const definition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "ciliumnetworkpolicies.cilium.io" },
  spec: {
    group: "cilium.io",
    scope: "Namespaced",
    names: { kind: "CiliumNetworkPolicy", plural: "ciliumnetworkpolicies" },
    versions: [{
      ...{ name: "v2", served: true, storage: true },
      schema: {
        openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      },
    }],
  },
};

interface Role {
  rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

/** The ClusterRole that docs/operations.md has. */
function documentedRole(): Role {
  const text = Deno.readTextFileSync(new URL("../docs/operations.md", import.meta.url));
  const blocks = text.matchAll(/```yaml\n([^`]*)```/g).map(([, block]) => parse(block!) as Role);
  return blocks.find((block) => "rules" in block)!;
}

Deno.test({
  name: `kubernetes source on a real API server${why ? ` (skipped: ${why})` : ""}`,
  ignore: why !== undefined,
  async fn(t) {
    await using plane = await ControlPlane.start([NEWCOMER]);
    const post = (path: string, object: object) => plane.request("POST", path, object);
    const { tables } = await (async () => {
      // where nothing was kept, it starts with what the server says
      const source = sourceOf(plane);
      await source.start();
      await using _source = source;
      assertEquals(source.staleness(), undefined);
      return source;
    })();
    assertEquals([...tables.Namespace.keys()].includes("default"), true);

    await t.step(
      "objects come, change and go; those of others' nodes and proxies do not",
      async () => {
        await using source = sourceOf(plane);
        await source.start();
        await post("/api/v1/nodes", { metadata: { name: NODE }, spec: { podCIDR: "10.1.0.0/24" } });
        for (const [name, node] of [["mine", NODE], ["other", "node-b"]] as const) {
          await post(`${NAMESPACE}/pods`, pod(name, node));
        }
        const proxy = { "service.kubernetes.io/service-proxy-name": "x" };
        const headless = { "service.kubernetes.io/headless": "" };
        for (const [name, labels] of [["web", {}], ["theirs", proxy]] as const) {
          await post(`${NAMESPACE}/services`, service(name, labels));
          await post(SLICES, slice(name, labels));
        }
        await post(SLICES, slice("headless", headless));
        await post(POLICIES, { metadata: { name: "deny" }, spec: { podSelector: {} } });
        await assertInSync(plane, source);
        const { tables } = source;
        assertEquals(tables.Pod.keys(), ["default/mine"]);
        assertEquals(tables.EndpointSlice.keys().filter((key) => !key.endsWith("/kubernetes")), [
          "default/web",
        ]);
        assertEquals(tables.Service.has("default/theirs"), false);

        await plane.request("PUT", `${SLICES}/web`, slice("web", {}, ["10.1.0.3"]));
        await plane.request("PATCH", `${NAMESPACE}/services/theirs`, {
          metadata: { labels: { "service.kubernetes.io/service-proxy-name": null } },
        });
        await plane.request("PATCH", `${NAMESPACE}/services/web`, { metadata: { labels: proxy } });
        await plane.request("DELETE", `${NAMESPACE}/pods/mine?gracePeriodSeconds=0`);
        await assertInSync(plane, source);
        assertEquals(tables.Service.has("default/theirs"), true);
        assertEquals(tables.Service.has("default/web"), false);
        assertEquals(source.status().map(({ lists }) => lists > 0), Array(8).fill(true));
      },
    );

    await t.step("what the kubelet says of pods and nodes changes no row", async () => {
      await post(`${NAMESPACE}/pods`, pod("churned", NODE));
      await using source = sourceOf(plane);
      await source.start();
      const before = [source.tables.Pod.revision, source.tables.Node.revision];
      for (let i = 0; i < 20; i++) {
        const condition = { type: "Ready", status: "True", message: `${i}` };
        for (const path of [`${NAMESPACE}/pods/churned`, `/api/v1/nodes/${NODE}`]) {
          const status = { conditions: [condition] };
          await plane.request("PATCH", `${path}/status`, { status });
        }
      }
      const events = () =>
        source.status().filter(({ kind }) => /^(Pod|Node)$/.test(kind)).map(({ events }) => events);
      await retry(() => assertEquals(events().every((count) => count >= 20), true));
      assertEquals([source.tables.Pod.revision, source.tables.Node.revision], before);
    });

    await t.step(
      "a kind comes when it is installed; what is wrong with one object is its own",
      async () => {
        await using source = sourceOf(plane);
        await source.start();
        const stateOf = () =>
          source.status().find(({ kind }) => kind === "CiliumNetworkPolicy")!.state;
        assertEquals([stateOf(), source.staleness()], ["absent", undefined]);
        await post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition);
        const policy = (name: string, spec: object) => ({
          ...{ apiVersion: "cilium.io/v2", kind: "CiliumNetworkPolicy", metadata: { name }, spec },
        });
        const good = { endpointSelector: {}, ingress: [{}] };
        await retry(() => post(CILIUM, policy("good", good)));
        await post(CILIUM, policy("bad", { ...good, egress: "all" }));
        await retry(() => assertEquals(source.tables.CiliumNetworkPolicy.keys(), ["default/good"]));
        await post(CILIUM, policy("later", good));
        await retry(() => assertEquals(source.tables.CiliumNetworkPolicy.size, 2));
        const problems = () => source.tables.problems.rows();
        assertEquals(problems().map(({ source }) => source), ["CiliumNetworkPolicy default/bad"]);
        assertStringIncludes(problems()[0]!.message, "spec.egress is the string");
        assertStringIncludes(problems()[0]!.message, "(nothing of it is in force)");
        // one that becomes wrong stays in force as it was
        await plane.request("PATCH", `${CILIUM}/good`, { spec: { egress: "all" } });
        await retry(() => assertEquals(problems().length, 2));
        assertEquals(source.tables.CiliumNetworkPolicy.get("default/good")?.spec, good);
        for (const name of ["bad", "good"]) await plane.request("DELETE", `${CILIUM}/${name}`);
        await retry(() => assertEquals(problems(), []));
        await assertInSync(plane, source);
      },
    );

    await t.step("connections that are cut all the time lose nothing", async () => {
      await using proxy = new TcpProxy(plane.port);
      const server = `https://127.0.0.1:${proxy.port}`;
      await using source = sourceOf(plane, {
        access: kubeconfigReader(plane.kubeconfig(), [server]),
      });
      await source.start();
      for (let i = 0; i < 60; i++) {
        await post(`${NAMESPACE}/services`, service(`cut-${i}`));
        if (i % 3 === 0) await plane.request("DELETE", `${NAMESPACE}/services/cut-${i}`);
        if (i % 2 === 0) proxy.cut();
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      await assertInSync(plane, source);
      // the version goes on: no list is due for a connection that was cut
      assertEquals(source.status().find(({ kind }) => kind === "Service")!.lists, 1);
    });

    await t.step("connections that are forgotten on the way are noticed and replaced", async () => {
      await using proxy = new TcpProxy(plane.port);
      const server = `https://127.0.0.1:${proxy.port}`;
      await using source = sourceOf(plane, {
        access: kubeconfigReader(plane.kubeconfig(), [server]),
        heartbeat: { quietMs: 200, patienceMs: 200 },
      });
      await source.start();
      proxy.forget();
      await post(`${NAMESPACE}/services`, service("forgotten"));
      await retry(() => assertEquals(source.tables.Service.has("default/forgotten"), true));
      await assertInSync(plane, source);
    });

    await t.step("while the server is away an agent starts with what it said last", async () => {
      await plane.stopServer();
      const log = new Lines();
      await using source = sourceOf(plane, { log, startPatienceMs: 100 });
      await source.start();
      assertEquals(source.tables.Service.has("default/forgotten"), true);
      assertMatch(source.staleness()!, /^not in sync with the API server for \d+ s \(Net.*refused/);
      assertEquals(log.lines.filter((line) => line.includes("refused")).length <= 2, true);
      await plane.startServer();
      await post(`${NAMESPACE}/services`, service("again"));
      await assertInSync(plane, source);
      await retry(() => assertEquals(source.staleness(), undefined));
      assertEquals(log.lines.at(-1), "API server: in sync again");
    });

    await t.step(
      "a state that was put back to an older one, or lost, is what counts then",
      async () => {
        await using source = sourceOf(plane);
        await source.start();
        await plane.stopServer();
        await plane.stopEtcd();
        plane.forgetState();
        plane.startEtcd();
        await plane.startServer();
        await assertInSync(plane, source);
        assertEquals(source.tables.Service.keys(), ["default/kubernetes"]);
        assertEquals(source.tables.problems.rows(), []);
      },
    );

    await t.step("who may not ask is told what to grant, and nobody the secrets", async () => {
      const { cert, key } = await plane.expiredCertificate("old");
      const servers = [plane.url], { caCerts } = plane;
      const origin = "test";
      const cases: [access: KubernetesSourceOptions["access"], words: RegExp][] = [
        [
          kubeconfigReader(plane.kubeconfig(NEWCOMER)),
          /grant it: a ClusterRole with \{apiGroups: /,
        ],
        [
          () => ({ servers, caCerts, origin, token: "secret" }),
          /does not take the token of the test/,
        ],
        [() => ({ servers, caCerts, origin }), /grant it|no token and no certificate/],
        [() => ({ servers, origin }), /signed by none of the certificate authorities/],
        [
          () => ({ servers, caCerts, origin, certificate: { cert, key } }),
          /does not take the certificate of the test, which expired 20/,
        ],
      ];
      for (const [access, words] of cases) {
        const log = new Lines();
        const source = sourceOf(plane, { access, log, savedPath: `${plane.directory}/none.db` });
        const starting = source.start();
        await retry(() => assertMatch(source.staleness()!, words));
        await source[Symbol.asyncDispose]();
        await starting;
        assertEquals(/secret/.test([...log.lines, source.staleness()].join()), false);
      }
      // once it is granted, the source goes on by itself
      await using source = sourceOf(plane, {
        access: kubeconfigReader(plane.kubeconfig(NEWCOMER)),
        savedPath: `${plane.directory}/none.db`,
        timing: { mostBackoff: 500 },
      });
      const starting = source.start();
      await post(`${RBAC}/clusterrolebindings`, {
        metadata: { name: "pilus" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "pilus" },
        subjects: [{ kind: "User", name: NEWCOMER.name }],
      });
      await post(`${RBAC}/clusterroles`, documentedRole());
      await starting;
      await assertInSync(plane, source);
    });

    await t.step("the role of the documentation is what it takes, and no more", async () => {
      const role = documentedRole();
      const resources = role.rules.flatMap(({ resources }) => resources);
      assertEquals(resources.toSorted(), watchedKinds(NODE).map(({ resource }) => resource).sort());
      for (const resource of resources) {
        const rules = role.rules.map((rule) => ({
          ...rule,
          resources: rule.resources.filter((other) => other !== resource),
        })).filter(({ resources }) => resources.length > 0);
        await plane.request("PUT", `${RBAC}/clusterroles/pilus`, { ...role, rules });
        const kind = watchedKinds(NODE).find((kind) => kind.resource === resource)!;
        await retry(async () => {
          const response = await plane.fetch("GET", pathOf(kind), undefined, NEWCOMER);
          await response.body?.cancel();
          assertEquals(response.status, 403);
        });
        const source = sourceOf(plane, {
          access: kubeconfigReader(plane.kubeconfig(NEWCOMER)),
          savedPath: `${plane.directory}/${resource}.db`,
          timing: { mostBackoff: 200 },
        });
        const starting = source.start();
        const grant = new RegExp(`grant it: a ClusterRole with .*resources: \\["${resource}"\\]`);
        await retry(() => assertMatch(source.staleness()!, grant));
        await source[Symbol.asyncDispose]();
        await starting;
      }
    });
  },
});

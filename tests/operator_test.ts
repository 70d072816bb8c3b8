/** The operator on a real API server with a real etcd. */

import { assertEquals, assertMatch } from "@std/assert";
import { Log } from "../agent/core/log.ts";
import { ApiClient } from "../agent/kubernetes/client/api_client.ts";
import { kubeconfigReader } from "../agent/kubernetes/client/kubeconfig.ts";
import { customResourceDefinitions } from "../agent/kubernetes/definitions.ts";
import { operatorRules } from "../agent/node/install/manifest.ts";
import { LEASE, runOperator } from "../agent/operator/operator.ts";
import { ControlPlane, type TestUser, whyNoControlPlane } from "./kubernetes/control_plane.ts";
import { retry } from "./kubernetes/retry.ts";
import { TcpProxy } from "./kubernetes/tcp_proxy.ts";

const CILIUM = "/apis/cilium.io/v2";
const DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const OPERATOR: TestUser = { name: "operator" };
const why = whyNoControlPlane();

const textOf = (message: string, fields: object) =>
  [message, ...Object.entries(fields).map(([name, value]) => `${name}=${value}`)].join(" ");

/** An operator that runs until it is stopped, and what it said. */
class Running implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly #stop = new AbortController();
  readonly #client: ApiClient;
  readonly #running: Promise<void>;

  constructor(plane: ControlPlane, holder: string, { unusedMs = 0, server = plane.url } = {}) {
    const { lines } = this;
    const log = new class extends Log {
      override info(message: string, fields = {}): void {
        lines.push(textOf(message, fields));
      }
      override warn(message: string, fields = {}): void {
        lines.push(textOf(message, fields));
      }
    }();
    const access = kubeconfigReader(plane.kubeconfig(OPERATOR), [server]);
    this.#client = new ApiClient({ access, userAgent: "pilus/test" });
    this.#running = runOperator({
      ...{ client: this.#client, holder, namespace: "kube-system", log, unusedMs },
      ...{ signal: this.#stop.signal, intervalMs: 50, durationMs: 1500 },
    });
  }

  get isLeader(): boolean {
    return this.lines.findLast((line) => /elected/.test(line))?.startsWith("elected") ?? false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("ends"));
    await this.#running;
    this.#client[Symbol.dispose]();
  }
}

const identity = (id: number) => ({
  ...{ apiVersion: "cilium.io/v2", kind: "CiliumIdentity", metadata: { name: `${id}` } },
  "security-labels": { "k8s:app": `a${id}` },
});

const slice = (name: string, ids: readonly number[]) => ({
  ...{ apiVersion: "cilium.io/v2alpha1", kind: "CiliumEndpointSlice", metadata: { name } },
  namespace: "demo",
  endpoints: ids.map((id) => ({
    ...{ name: `pod-${id}`, id },
    networking: { addressing: [{ ipv4: "10.60.1.5" }], node: "192.168.60.1" },
  })),
});

Deno.test({
  name: `pilus operator on a real API server${why ? ` (skipped: ${why})` : ""}`,
  ignore: why !== undefined,
  async fn(t) {
    await using plane = await ControlPlane.start([OPERATOR]);
    const post = (path: string, object: object) => plane.request("POST", path, object);
    const numbers = async () => {
      const { items } = await plane.request("GET", `${CILIUM}/ciliumidentities`);
      return (items as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name)
        .sort();
    };

    await t.step("who may not ask is told what to grant", async () => {
      await using operator = new Running(plane, "a");
      await retry(() =>
        assertMatch(operator.lines.join(), /grant it: .*"leases".*verbs: \["get"\]/)
      );
    });

    await t.step("its role is what it takes; it waits for the kinds", async () => {
      await post(`${RBAC}/clusterroles`, {
        metadata: { name: "operator" },
        rules: operatorRules(),
      });
      await post(`${RBAC}/clusterrolebindings`, {
        metadata: { name: "operator" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "operator" },
        subjects: [{ kind: "User", name: OPERATOR.name }],
      });
      await using operator = new Running(plane, "a");
      await retry(() => assertMatch(operator.lines.join(), /does not have it/));
      for (const definition of customResourceDefinitions()) await post(DEFINITIONS, definition);
      await retry(() => post(`${CILIUM}/ciliumidentities`, identity(300)));
      await retry(async () => assertEquals(await numbers(), []));
      assertEquals(operator.lines.some((line) => /not allowed/.test(line)), false);
    });

    await t.step("an identity that no endpoint has goes, the others stay", async () => {
      for (const id of [301, 302, 303]) await post(`${CILIUM}/ciliumidentities`, identity(id));
      await post("/apis/cilium.io/v2alpha1/ciliumendpointslices", slice("a", [301, 302]));
      {
        await using patient = new Running(plane, "a", { unusedMs: 3_600_000 });
        await retry(() => assertEquals(patient.isLeader, true));
        await new Promise((resolve) => setTimeout(resolve, 500));
        assertEquals(await numbers(), ["301", "302", "303"]);
      }
      await using operator = new Running(plane, "a");
      await retry(async () => assertEquals(await numbers(), ["301", "302"]));
      assertEquals(operator.lines.filter((line) => /deleted/.test(line)), [
        "identities deleted numbers=303",
      ]);
    });

    await t.step("two are not elected at once, and one that ends makes way at once", async () => {
      await using a = new Running(plane, "a");
      await retry(() => assertEquals(a.isLeader, true));
      await using b = new Running(plane, "b");
      await new Promise((resolve) => setTimeout(resolve, 2500));
      assertEquals([a.isLeader, b.isLeader], [true, false]);
      await a[Symbol.asyncDispose]();
      await retry(() => assertEquals(b.isLeader, true));
      const { spec } = await plane.request("GET", `${LEASES}/${LEASE}`) as {
        spec: { holderIdentity: string };
      };
      assertEquals(spec.holderIdentity, "b");
    });

    await t.step("one that is cut off stops before another begins", async () => {
      await using proxy = new TcpProxy(plane.port);
      await using a = new Running(plane, "a", { server: `https://127.0.0.1:${proxy.port}` });
      await retry(() => assertEquals(a.isLeader, true));
      await using b = new Running(plane, "b");
      proxy.forget();
      const both: boolean[] = [];
      await retry(async () => {
        both.push(a.isLeader && b.isLeader);
        proxy.forget();
        await Promise.resolve();
        assertEquals(b.isLeader, true);
      });
      assertEquals(both.includes(true), false);
      assertEquals(a.isLeader, false);
    });
  },
});

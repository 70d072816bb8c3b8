/** The cluster's store `kubernetes` on a real API server with a real etcd. */

import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { endpoint, STORE_CASES, until } from "../agent/cluster/testdata/store_contract.ts";
import { Reconciler } from "../agent/core/reconciler.ts";
import { Table } from "../agent/core/table.ts";
import { type PublishedEndpoint, publishedEndpointKey } from "../agent/cluster/rows.ts";
import { customResourceDefinitions } from "../agent/kubernetes/definitions.ts";
import { nodeRules, type Rule } from "../agent/node/install/manifest.ts";
import { ControlPlane, whyNoControlPlane } from "./kubernetes/control_plane.ts";
import {
  clear,
  forget,
  IDENTITIES,
  NodeStore,
  podsOf,
  SLICES,
  slicesOf,
} from "./kubernetes/node_store.ts";
import { TcpProxy } from "./kubernetes/tcp_proxy.ts";
import { retry } from "./kubernetes/retry.ts";

const NODES = ["node-a", "node-b", "node-c"];
const NEWCOMER = { name: "newcomer" };
const DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const why = whyNoControlPlane();

const makeNode = (plane: ControlPlane, name: string) =>
  plane.request("POST", "/api/v1/nodes", { metadata: { name } });

const reviewOf = ({ apiGroups: [group], resources: [resource], verbs: [verb] }: Rule) => ({
  apiVersion: "authorization.k8s.io/v1",
  kind: "SelfSubjectAccessReview",
  spec: { resourceAttributes: { group, resource, verb } },
});

Deno.test({
  name: `the store kubernetes on a real API server${why ? ` (skipped: ${why})` : ""}`,
  ignore: why !== undefined,
  async fn(t) {
    await using plane = await ControlPlane.start([NEWCOMER]);

    await t.step(
      "without the definitions it says what to install, and goes on when they are there",
      async () => {
        await using store = new NodeStore(plane, "node-a");
        const starting = store.start();
        await retry(() => assertMatch(store.staleness()!, /does not have it.*`pilus manifest`/));
        await assertRejects(() => store.allocate({ "k8s:app": "a" }), Error, "does not have it");
        for (const definition of customResourceDefinitions()) {
          await plane.request("POST", DEFINITIONS, definition);
        }
        await starting;
        await until(() => store.staleness() === undefined);
        const { items } = await plane.request("GET", DEFINITIONS) as {
          items: { status: { conditions: { type: string; status: string; message: string }[] } }[];
        };
        const faults = items.flatMap(({ status: { conditions } }) =>
          conditions.filter(({ type, status }) =>
            (type === "NonStructuralSchema") === (status === "True")
          )
        );
        assertEquals(faults, []);
      },
    );
    for (const name of NODES) await makeNode(plane, name);

    for (const [title, run] of STORE_CASES) {
      await t.step(title, async () => {
        await clear(plane);
        await run({
          join: (node) => new NodeStore(plane, node),
          [Symbol.asyncDispose]: () => Promise.resolve(),
        });
      });
    }

    await t.step("a pod is one write of its node, and one event to each", async () => {
      await clear(plane);
      await using a = new NodeStore(plane, "node-a");
      await using b = new NodeStore(plane, "node-b");
      await Promise.all([a.start(), b.start()]);
      await a.endpoints.apply([endpoint("first", 1)], []);
      await until(() => b.addresses.size === 2);
      const requests = [a.client.requests, b.client.requests];
      const revision = b.addresses.revision;
      await a.endpoints.apply([endpoint("web", 5)], []);
      await until(() => b.addresses.size === 4);
      assertEquals([a.client.requests, b.client.requests], [requests[0]! + 1, requests[1]!]);
      assertEquals(b.addresses.revision, revision + 2);
      // what says the same is no event
      const [before] = await slicesOf(plane);
      await a.endpoints.apply([endpoint("web", 5)], []);
      assertEquals(await slicesOf(plane), [before!]);
      const many = Array.from({ length: 70 }, (_, i) => endpoint(`many-${i}`, i + 10));
      assertEquals((await a.endpoints.apply(many, [])).failed, []);
      assertEquals((await slicesOf(plane)).map(({ endpoints }) => endpoints.length), [32, 32, 8]);
      await until(() => b.addresses.size === 144);
      await a.endpoints.apply([], many);
      await until(() => b.addresses.size === 4);
      assertEquals((await slicesOf(plane)).length, 1);
    });

    await t.step(
      "pods come and go while connections are cut, and all is as it is to be",
      async () => {
        await clear(plane);
        await using proxy = new TcpProxy(plane.port);
        const servers = [`https://127.0.0.1:${proxy.port}`];
        await using a = new NodeStore(plane, "node-a", undefined, servers);
        await using b = new NodeStore(plane, "node-b", undefined, servers);
        await Promise.all([a.start(), b.start()]);
        const desired = new Table<PublishedEndpoint>({ name: "own", key: publishedEndpointKey });
        await using reconciler = new Reconciler({
          ...{ name: "own", desired, target: a.endpoints, minBackoffMs: 20, maxBackoffMs: 200 },
        });
        await reconciler.start();
        for (let i = 1; i <= 90; i++) {
          desired.set(endpoint(`churn-${i}`, i));
          if (i > 60 || i % 2 === 0) desired.delete(`demo/churn-${i % 60}`);
          if (i % 4 === 0) proxy.cut();
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        const wanted = desired.keys().sort();
        await retry(async () => {
          const published = (await slicesOf(plane)).flatMap(({ endpoints }) => endpoints);
          assertEquals(published.map(({ name }) => `demo/${name}`).sort(), wanted);
          assertEquals([podsOf(a), podsOf(b)], [wanted, wanted]);
          assertEquals(reconciler.status().pending, 0);
        });
      },
    );

    await t.step("an agent that is started anew with the same pods changes nothing", async () => {
      await clear(plane);
      await using b = new NodeStore(plane, "node-b");
      await b.start();
      const rows = Array.from({ length: 40 }, (_, i) => endpoint(`web-${i}`, i + 1));
      {
        await using a = new NodeStore(plane, "node-a");
        await a.start();
        await a.endpoints.apply(rows, []);
        await until(() => b.addresses.size === 80);
      }
      const before = await slicesOf(plane);
      const { revision } = b.addresses;
      forget();
      await using a = new NodeStore(plane, "node-a");
      await a.start();
      assertEquals(a.endpoints.read().length, 40);
      assertEquals((await a.endpoints.apply(rows.toReversed(), [])).failed, []);
      assertEquals(await slicesOf(plane), before);
      assertEquals(b.addresses.revision, revision);
    });

    await t.step(
      "what is published has its node as owner; what somebody else changes or deletes comes back",
      async () => {
        await clear(plane);
        await using a = new NodeStore(plane, "node-a");
        await a.start();
        await a.endpoints.apply([endpoint("web", 5)], []);
        const [slice] = await slicesOf(plane);
        const { name, ownerReferences } = slice!.metadata;
        const { metadata } = await plane.request("GET", "/api/v1/nodes/node-a") as {
          metadata: { uid: string };
        };
        const owner = { apiVersion: "v1", kind: "Node", name: "node-a", uid: metadata.uid };
        assertEquals(ownerReferences, [owner]);
        const published = () =>
          slicesOf(plane).then((all) => all.map(({ endpoints }) => endpoints));
        const right = [slice!.endpoints];
        await plane.request("PATCH", `${SLICES}/${name}`, { endpoints: [] });
        await retry(async () => assertEquals(await published(), right));
        await plane.request("DELETE", `${SLICES}/${name}`);
        await retry(async () => assertEquals(await published(), right));
        // a Node that is made anew is the owner then: the server's collector goes by its UID
        await plane.request("DELETE", "/api/v1/nodes/node-a");
        await makeNode(plane, "node-a");
        await plane.request("DELETE", `${SLICES}/${name}`);
        await retry(async () => assertEquals(await published(), right));
        const [again] = await slicesOf(plane);
        assertEquals(
          (again!.metadata.ownerReferences as { uid: string }[])[0]!.uid === metadata.uid,
          false,
        );
      },
    );

    await t.step(
      "an identity that is deleted while it is in use has its number again",
      async () => {
        await clear(plane);
        await using a = new NodeStore(plane, "node-a");
        await using b = new NodeStore(plane, "node-b");
        await Promise.all([a.start(), b.start()]);
        const labels = { "k8s:app": "kept" };
        const id = await a.allocate(labels);
        await until(() => b.identities.has(String(id)));
        await plane.request("DELETE", `${IDENTITIES}/${id}`);
        await retry(async () => {
          const again = await plane.request("GET", `${IDENTITIES}/${id}`);
          assertEquals(again["security-labels"], labels);
        });
        // another node did not use it, and did not make it
        await until(() => a.identities.has(String(id)) && b.identities.has(String(id)));
        assertEquals(await b.allocate(labels), id);
      },
    );

    await t.step(
      "what is not as it must be is refused, and of what gets in by others a problem",
      async () => {
        await clear(plane);
        const bad: [string, unknown][] = [
          [SLICES, {
            metadata: { name: "x" },
            namespace: "demo",
            endpoints: [{ name: "a", id: 0 }],
          }],
          [SLICES, { metadata: { name: "x" }, namespace: "demo" }],
          [IDENTITIES, { metadata: { name: "web" }, "security-labels": {} }],
          [IDENTITIES, { metadata: { name: "300" } }],
          [`/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies`, {
            metadata: { name: "x" },
            spec: { endpointSelector: {}, ingress: "all" },
          }],
        ];
        for (const [path, body] of bad) {
          const version = path.includes("v2alpha1") ? "cilium.io/v2alpha1" : "cilium.io/v2";
          const kind = path === SLICES
            ? "CiliumEndpointSlice"
            : path === IDENTITIES
            ? "CiliumIdentity"
            : "CiliumNetworkPolicy";
          const response = await plane.fetch("POST", path, {
            apiVersion: version,
            kind,
            ...body as object,
          });
          assertEquals(response.status, 422, await response.text());
        }
        await using a = new NodeStore(plane, "node-a");
        await a.start();
        const wrong = { name: "a", id: 300, networking: { addressing: [{}], node: "nowhere" } };
        const slice = { apiVersion: "cilium.io/v2alpha1", kind: "CiliumEndpointSlice" };
        await plane.request("POST", SLICES, {
          ...{ ...slice, metadata: { name: "theirs" }, namespace: "demo", endpoints: [wrong] },
        });
        await until(() => a.problems.size === 1);
        const [problem] = a.problems.rows();
        assertEquals(problem!.source, "CiliumEndpointSlice theirs");
        assertStringIncludes(problem!.message, "endpoints[0].networking.node is the string");
        await plane.request("DELETE", `${SLICES}/theirs`);
        await until(() => a.problems.size === 0);
      },
    );

    await t.step(
      "while the server is away what was known counts; what is published then follows",
      async () => {
        await clear(plane);
        await using b = new NodeStore(plane, "node-b");
        {
          await using a = new NodeStore(plane, "node-a");
          await Promise.all([a.start(), b.start()]);
          await b.endpoints.apply([endpoint("theirs", 9)], []);
          await a.allocate({ "k8s:app": "known" });
          await until(() => a.addresses.size === 2);
        }
        await plane.stopServer();
        await using a = new NodeStore(plane, "node-a");
        await a.start();
        assertEquals(podsOf(a), ["demo/theirs"]);
        assertMatch(a.staleness()!, /^what other nodes publish is not in sync \(Ci.*refused/);
        assertEquals(typeof await a.allocate({ "k8s:app": "known" }), "number");
        await assertRejects(() => a.allocate({ "k8s:app": "new" }), Error, "refused");
        const { failed } = await a.endpoints.apply([endpoint("web", 5)], []);
        assertStringIncludes(failed[0]!.error.message, "refused");
        await plane.startServer();
        assertEquals((await a.endpoints.apply([endpoint("web", 5)], [])).failed, []);
        await until(() => podsOf(b).length === 2 && a.staleness() === undefined);
      },
    );

    await t.step("a state that is lost is published again by those who are there", async () => {
      await clear(plane);
      await using a = new NodeStore(plane, "node-a");
      await using b = new NodeStore(plane, "node-b");
      await Promise.all([a.start(), b.start()]);
      await a.endpoints.apply([endpoint("web", 5)], []);
      await b.endpoints.apply([endpoint("other", 6)], []);
      await until(() => podsOf(a).length === 2 && podsOf(b).length === 2);
      await plane.stopServer();
      await plane.stopEtcd();
      plane.forgetState();
      plane.startEtcd();
      await plane.startServer();
      for (const definition of customResourceDefinitions()) {
        await plane.request("POST", DEFINITIONS, definition);
      }
      for (const name of NODES) await makeNode(plane, name);
      // what the server has lost is found missing by the comparison, as by its list
      await retry(async () => {
        await a.endpoints.apply([endpoint("web", 5)], []);
        await b.endpoints.apply([endpoint("other", 6)], []);
        assertEquals([podsOf(a), podsOf(b)], [["demo/other", "demo/web"], [
          "demo/other",
          "demo/web",
        ]]);
        assertEquals((await slicesOf(plane)).length, 2);
        assertEquals([a.staleness(), b.staleness()], [undefined, undefined]);
      });
    });

    await t.step("who may not ask is told what to grant, and each rule is needed", async () => {
      const RBAC = "/apis/rbac.authorization.k8s.io/v1";
      await clear(plane);
      await plane.request("POST", `${RBAC}/clusterrolebindings`, {
        metadata: { name: "pilus" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "pilus" },
        subjects: [{ kind: "User", name: NEWCOMER.name }],
      });
      await plane.request("POST", `${RBAC}/clusterroles`, {
        metadata: { name: "pilus" },
        rules: [],
      });
      const stored = /^(nodes|ciliumendpointslices|ciliumidentities)$/;
      const wanted = nodeRules().flatMap(({ apiGroups, resources, verbs }) =>
        resources.filter((resource) => stored.test(resource)).flatMap((resource) =>
          verbs.map((verb) => ({ apiGroups, resources: [resource], verbs: [verb] }))
        )
        // the source lists and watches them
      ).filter(({ resources, verbs }) => resources[0] !== "nodes" || verbs[0] === "get");
      /** What is refused with these rules, as the store says it. */
      const refused = async (rules: Rule[]): Promise<string[]> => {
        forget();
        await plane.request("PUT", `${RBAC}/clusterroles/pilus`, {
          metadata: { name: "pilus" },
          rules,
        });
        // the server's authorizer follows a little later
        await retry(async () => {
          for (const rule of wanted) {
            const answer = await plane.fetch("POST", REVIEWS, reviewOf(rule), NEWCOMER);
            const { status } = await answer.json() as { status: { allowed: boolean } };
            assertEquals(status.allowed, rules.includes(rule));
          }
        });
        await clear(plane);
        const said: string[] = [];
        const store = new NodeStore(plane, "node-a", NEWCOMER);
        const starting = store.start();
        await retry(() => assertEquals(/grant it|^$/.test(store.staleness() ?? ""), true));
        said.push(store.staleness() ?? "");
        for (const [upserts, deletes] of [[[endpoint("web", 5)], []], [[], [endpoint("web", 5)]]]) {
          const { failed } = await store.endpoints.apply(upserts!, deletes!);
          said.push(...failed.map(({ error }) => error.message));
        }
        await store.allocate({ "k8s:app": "new" }).catch(({ message }) => said.push(message));
        await store[Symbol.asyncDispose]();
        await starting;
        return said.filter((text) => text !== "");
      };
      // lists are for servers that do not stream them, and two nodes that are at once get what is there
      const needed = wanted.filter(({ resources: [resource], verbs: [verb] }) =>
        verb !== "list" && (verb !== "get" || resource === "nodes")
      );
      for (const missing of needed) {
        const said = await refused(wanted.filter((rule) => rule !== missing));
        const { resources: [resource], verbs: [verb] } = missing;
        const grant = new RegExp(
          `grant it: a ClusterRole with .*"${resource}"\\], verbs: .*"${verb}"`,
        );
        assertMatch(said.join("\n"), grant);
      }
      assertEquals(await refused(wanted), []);
    });
  },
});

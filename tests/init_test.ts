// Pods whose manifest is missing are denied what no policy for reserved:init allows; containers that no
// manifest can describe are reserved:unmanaged.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { EndpointView } from "../agent/api/types.ts";
import type { FlowView } from "../agent/api/views.ts";
import { type LabHost, type LabNode, OUTSIDE } from "../cli/lab/lab.ts";
import { assertTcp, hold, PEER, settle, tcp, udp } from "./lab/clients.ts";
import { podManifest, withLab } from "./lab/test_lab.ts";
import { FAMILIES, type Family } from "../datapath/testdata/families.ts";

const DENIED = "Policy denied";
const MISSING = "no source has the pod's manifest";

/** A policy of the whole cluster. */
function clusterwide(name: string, spec: unknown): string {
  return JSON.stringify({
    apiVersion: "cilium.io/v2",
    kind: "CiliumClusterwideNetworkPolicy",
    metadata: { name },
    spec,
  });
}

/** Only clients may reach web. */
const GUARD = JSON.stringify({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "guard", namespace: "demo" },
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    policyTypes: ["Ingress"],
    ingress: [{ from: [{ podSelector: { matchLabels: { app: "client" } } }] }],
  },
});

function endpointOf(node: LabNode, pod: string): Promise<EndpointView> {
  return node.client.call(`/v1/endpoints/${encodeURIComponent(pod)}`);
}

/** What the endpoint is, once it is so. */
async function assertIdentity(node: LabNode, pod: string, wanted: string): Promise<void> {
  const is = ({ labels }: EndpointView) => labels.includes(wanted);
  const { labels } = await settle(() => endpointOf(node, pod), is);
  assert(labels.includes(wanted), `${pod} has ${labels.join(" ")}, and not ${wanted}`);
}

/** Neither TCP nor UDP comes through, in both families. */
async function assertNothing(from: LabHost, to: Record<Family, string>) {
  await Promise.all(FAMILIES.flatMap((family) =>
    [tcp, udp].map(async (protocol) => {
      const { error } = await protocol(from, to[family]);
      assertEquals(error, "timeout", `${protocol.name} from ${from.name} to ${to[family]}`);
    })
  ));
}

Deno.test("a pod without manifest reaches nothing and is reached by nothing but its node, until the manifest is there", async (t) => {
  const agentArgs = ["--manifest-wait", "1"];
  await withLab({ agentArgs }, async ({ lab, a, b, pod, serve, expectDrops }) => {
    expectDrops(DENIED);
    await serve(lab.outside);
    await serve(a);
    const near = await pod(a, "near"), far = await pod(b, "far");
    const early = a.createPod("demo", "early");
    await early.add();
    await serve(early);

    await t.step("denied in both directions, without any policy", async () => {
      await Promise.all([
        ...[near, far].map((other) => assertNothing(other, early)),
        ...[near, far, a, OUTSIDE].map((to) => assertNothing(early, to)),
      ]);
      for (const family of FAMILIES) await assertTcp(a, early[family], true);
    });

    await t.step("said in log, list, status and by each drop", async () => {
      assertStringIncludes(a.logText(), MISSING);
      assertMatch(
        (await a.cli("endpoint", "list")).stdout,
        /demo\/early .* 5 +both +ready, manifest/,
      );
      assertMatch(
        (await a.cli("endpoint", "get", "demo/early")).stdout,
        /Manifest: +no source has it/,
      );
      const status = (await a.cli("status")).stdout;
      assertMatch(status, /Pod demo\/early: runs here as endpoint/);
      assertMatch(status, /2 of 2 ready, 1 without manifest/);
      const flows = a.client.stream<FlowView>("/v1/monitor?type=drop&last=1000&follow=false");
      const rules = (await Array.fromAsync(flows)).map(({ rule }) => rule?.text ?? "");
      for (const direction of ["ingress", "egress"]) {
        const text = `${direction} is denied by default because ${MISSING}`;
        assert(rules.some((rule) => rule.includes(text)), `${text}: ${rules.join("\n")}`);
      }
    });

    await t.step("what a policy for init allows passes, and nothing else", async () => {
      lab.apply(
        "init",
        clusterwide("init", {
          endpointSelector: { matchLabels: { "reserved:init": "" } },
          egress: [{
            toEndpoints: [{ matchLabels: { "k8s:app": "near" } }, {
              matchLabels: { "k8s:app": "far" },
            }],
          }],
        }),
      );
      for (const family of FAMILIES) {
        for (const to of [near, far]) await assertTcp(early, to[family], true);
      }
      await assertNothing(early, a);
      await assertNothing(near, early);
      lab.remove("init");
      await assertTcp(early, near.ipv4, false);
    });

    await t.step("its manifest opens what is open to others", async () => {
      lab.apply("early", podManifest(a, "demo", "early"));
      for (const family of FAMILIES) {
        for (const other of [near, far]) {
          await assertTcp(other, early[family], true);
          await assertTcp(early, other[family], true);
        }
      }
      assertEquals((await a.status()).problems, []);
    });

    for (const [end, from, to] of [["client", early, near], ["server", near, early]] as const) {
      await t.step(`a connection is cut when the manifest of its ${end} goes`, async () => {
        await using connection = hold(from, to.ipv6);
        await settle(() => connection.echoes, (n) => n > 5);
        assert(connection.echoes > 5, "the connection works");
        lab.remove("early");
        await settle(() => connection.silence, (ms) => ms > 1500);
        assert(connection.silence > 1500, "it is cut");
        const before = connection.echoes;
        lab.apply("early", podManifest(a, "demo", "early"));
        await settle(() => connection.echoes, (n) => n > before + 20);
        assert(connection.echoes > before + 20, "it goes on");
      });
    }

    await t.step(
      "a namespace without manifest makes no pod init, and its policies hold",
      async () => {
        const deny = { podSelector: {}, policyTypes: ["Ingress"] };
        const team = { matchLabels: { team: "x" } };
        const policy = (ingress: unknown[]) =>
          JSON.stringify({
            apiVersion: "networking.k8s.io/v1",
            kind: "NetworkPolicy",
            metadata: { name: "deny", namespace: "lost" },
            spec: { ...deny, ingress },
          });
        lab.apply("deny", policy([{ from: [{ namespaceSelector: team }] }]));
        const lost = await pod(a, "lost", { namespace: "lost" });
        const other = await pod(b, "other", { namespace: "team" });
        await assertIdentity(a, "lost/lost", "k8s:app=lost");
        await assertNothing(near, lost);
        await assertNothing(other, lost);
        await assertTcp(lost, near.ipv4, true);
        const metadata = { name: "team", labels: { team: "x" } };
        lab.apply("team", JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata }));
        await assertTcp(other, lost.ipv4, true);
        await assertNothing(near, lost);
      },
    );
  });
});

Deno.test("CNI ADD waits for the manifest of a Pod, and not for what no manifest can describe", async (t) => {
  const agentArgs = ["--manifest-wait", "30"];
  await withLab({ nodes: 1, agentArgs }, async ({ lab, a, pod, serve, expectDrops }) => {
    expectDrops(DENIED);
    const near = await pod(a, "near"), peer = await pod(a, "peer");

    await t.step("the pod is itself when the runtime has its answer", async () => {
      const late = a.createPod("demo", "late");
      let added = false;
      const adding = late.add().then(() => added = true);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      assertEquals(added, false, "ADD waits");
      lab.apply("late", podManifest(a, "demo", "late"));
      await adding;
      assertEquals((await endpointOf(a, "demo/late")).manifest, "found");
      assertEquals((await tcp(late, near.ipv4)).ok, true);
      assert(!a.logText().includes(MISSING));
    });

    await t.step("an agent that ends does not wait", async () => {
      const pod = a.createPod("demo", "never");
      const adding = a.cni("ADD", pod);
      await new Promise((resolve) => setTimeout(resolve, 500));
      let ended = false;
      const ending = a.stopAgent().then(() => ended = true);
      await settle(() => ended, (is) => is, 15_000);
      assert(ended, "half of the wait");
      await Promise.all([ending, adding]);
      a.startAgent();
      await a.ready();
      await a.cni("DEL", pod);
    });

    const [podman, tool] = [a.createPod("c", "podman"), a.createPod("c", "tool")];
    await t.step("containers without a Pod are unmanaged, and open as any pod is", async () => {
      await podman.add({ env: { CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=web1" } });
      await tool.add({ env: { CNI_ARGS: "" } });
      assert(!a.logText().includes(MISSING), "neither is waited for");
      const views = await a.client.call<EndpointView[]>("/v1/endpoints");
      const { length } = views.filter(({ identity, labels, manifest }) =>
        identity === 3 && labels.join() === "reserved:unmanaged" && manifest === "none"
      );
      assertEquals(length, 2);
      assertMatch(
        (await a.cli("endpoint", "get", "web1")).stdout,
        /Manifest: +none can describe it/,
      );
      await serve(podman);
      for (const family of FAMILIES) {
        for (const other of [near, peer, tool, a]) await assertTcp(other, podman[family], true);
        for (const other of [near, peer]) await assertTcp(podman, other[family], true);
      }
    });

    await t.step("policies select them, as subject and as peer", async () => {
      lab.apply(
        "containers",
        clusterwide("containers", {
          endpointSelector: { matchLabels: { "reserved:unmanaged": "" } },
          ingress: [{ fromEndpoints: [{ matchLabels: { "k8s:app": "peer" } }] }],
        }),
      );
      await assertTcp(near, podman.ipv4, false);
      await assertTcp(peer, podman.ipv4, true);
      await assertTcp(near, peer.ipv4, true);
      lab.remove("containers");
      lab.apply(
        "peer",
        clusterwide("peer", {
          endpointSelector: { matchLabels: { app: "peer" } },
          ingress: [{ fromEntities: ["unmanaged"] }],
        }),
      );
      await assertTcp(near, peer.ipv4, false);
      await assertTcp(podman, peer.ipv4, true);
    });
  });
});

Deno.test("a manifest that moves to another file opens nothing and cuts nothing", async (t) => {
  await withLab({}, async ({ lab, a, b, pod, expectDrops }) => {
    expectDrops(DENIED);
    lab.apply("guard", GUARD);
    const web = await pod(a, "web");
    const client = await pod(b, "client"), guest = await pod(b, "guest");
    await assertTcp(guest, web.ipv4, false);
    const { directory } = lab;
    const manifests = `${directory}/manifests`;
    const path = (name: string) => `${manifests}/${name}.yaml`;
    const drops = async (from: string) => {
      const query = `type=drop&from-pod=${encodeURIComponent(from)}&last=1000&follow=false`;
      return (await Array.fromAsync(a.client.stream<FlowView>(`/v1/monitor?${query}`))).length;
    };
    await using connection = hold(client, web.ipv4);
    await settle(() => connection.echoes, (n) => n > 5);
    const chat = guest.spawn([...PEER, "chat", web.ipv4, "7000", "60"]);
    const said = chat.output();

    let name = "pod-demo-web";
    for (const [how, between] of [["renamed", 0], ["removed and written anew", 150]] as const) {
      await t.step(how, async () => {
        for (let round = 0; round < 8; round++) {
          const next = `${round % 2 ? "a" : "z"}-${how.length}-${round}`;
          if (between === 0) {
            Deno.renameSync(path(name), path(next));
          } else {
            const text = Deno.readTextFileSync(path(name));
            lab.remove(name);
            await new Promise((resolve) => setTimeout(resolve, between));
            lab.apply(next, text);
          }
          name = next;
          const before = connection.echoes;
          await settle(() => connection.echoes, (n) => n > before + 3);
          assert(connection.echoes > before + 3, "the client's connection goes on");
        }
        assertEquals((await endpointOf(a, "demo/web")).manifest, "found");
      });
    }
    chat.kill();
    const { echoes } = JSON.parse(new TextDecoder().decode((await said).stdout));
    assertEquals(echoes, 0, "of the guest");
    assert(await drops("demo/guest") > 20, "the guest tried all the time");
    assertEquals(await drops("demo/client"), 0);
  });
});

Deno.test("a restarted agent knows the endpoints whose manifests have gone meanwhile, and denies them", async () => {
  await withLab({}, async ({ lab, a, b, pod, expectDrops }) => {
    expectDrops(DENIED);
    const web = await pod(a, "web"), stays = await pod(a, "stays"), guest = await pod(b, "guest");
    await assertTcp(guest, web.ipv4, true);
    await using cut = hold(guest, web.ipv4);
    await using kept = hold(guest, stays.ipv4);
    await settle(() => Math.min(cut.echoes, kept.echoes), (n) => n > 5);
    await a.stopAgent("SIGKILL");
    lab.remove("pod-demo-web");
    a.startAgent();
    await a.ready();
    await assertIdentity(a, "demo/web", "reserved:init");
    await assertTcp(guest, web.ipv4, false);
    await assertTcp(web, guest.ipv6, false);
    await assertTcp(guest, stays.ipv4, true);
    await settle(() => cut.silence, (ms) => ms > 1500);
    assert(cut.silence > 1500, "the open connection is cut");
    const before = kept.echoes;
    await settle(() => kept.echoes, (n) => n > before + 5);
    assert(kept.echoes > before + 5, "the other one goes on");
  });
});

Deno.test("--init-enforcement default: a pod without manifest is open until a policy for init selects it", async () => {
  const agentArgs = ["--init-enforcement", "default", "--manifest-wait", "0"];
  await withLab({ nodes: 1, agentArgs }, async ({ lab, a, pod, serve, expectDrops }) => {
    expectDrops(DENIED);
    const near = await pod(a, "near");
    const early = a.createPod("demo", "early");
    await early.add();
    await serve(early);
    await assertTcp(near, early.ipv4, true);
    await assertTcp(early, near.ipv6, true);
    lab.apply(
      "init",
      clusterwide("init", {
        endpointSelector: { matchLabels: { "reserved:init": "" } },
        ingress: [{ fromEntities: ["host"] }],
      }),
    );
    await assertTcp(near, early.ipv4, false);
    await assertTcp(early, near.ipv6, true);
  });
});

// Policies on live traffic: what passes, what is cut, and the rule that says so.

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { AgentEventView, FlowView } from "../agent/api/views.ts";
import { assertTcp, hold, ping, settle, tcp, udp } from "./lab/clients.ts";
import type { LabNode } from "../cli/lab/node.ts";
import { withLab } from "./lab/test_lab.ts";
import { FAMILIES } from "../datapath/testdata/families.ts";

const DENIED = "Policy denied", DENIED_BY_RULE = "Policy denied by a deny rule";

function networkPolicy(name: string, spec: unknown): string {
  return JSON.stringify({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace: "demo" },
    spec,
  });
}

function ciliumPolicy(name: string, spec: unknown): string {
  return JSON.stringify({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name, namespace: "demo" },
    spec,
  });
}

const WEB = { matchLabels: { app: "web" } };
const DENY_ALL = networkPolicy("deny", { podSelector: WEB, policyTypes: ["Ingress"] });

Deno.test("policies decide on live traffic", async (t) => {
  await withLab({}, async ({ lab, a, b, pod, expectDrops }) => {
    expectDrops(DENIED, DENIED_BY_RULE);
    const web = await pod(a, "web");
    const near = await pod(a, "near", { labels: { app: "client" } });
    const far = await pod(b, "far", { labels: { app: "client" } });
    const guest = await pod(b, "guest");
    for (const family of FAMILIES) {
      for (const from of [near, far, guest]) await assertTcp(from, web[family], true);
    }

    for (const from of [near, far]) {
      for (const family of FAMILIES) {
        await t.step(
          `an open ${family} connection from ${from.podName} is cut at its next packet, and goes on afterwards`,
          async () => {
            await using connection = hold(from, web[family]);
            await settle(() => connection.echoes, (n) => n > 5);
            assert(connection.echoes > 5, "the connection works");
            lab.apply("policy", DENY_ALL);
            await settle(() => connection.silence, (ms) => ms > 1000);
            assert(connection.silence > 1000, "it is cut");
            const before = connection.echoes;
            lab.remove("policy");
            await settle(() => connection.echoes, (n) => n > before + 20, 10_000);
            assert(connection.echoes > before + 20, "it goes on");
          },
        );
      }
    }

    await t.step(
      "default deny: nothing comes in, everything goes out, the node still may",
      async () => {
        lab.apply("policy", DENY_ALL);
        for (const family of FAMILIES) {
          await assertTcp(near, web[family], false);
          await assertTcp(far, web[family], false);
          assertEquals((await udp(far, web[family])).error, "timeout");
          assert((await ping(near, web[family], "-W1")).code !== 0, "ping");
          assertEquals((await tcp(web, far[family])).ok, true, "its own connections");
          assertEquals((await udp(web, near[family])).ok, true);
          assertEquals((await tcp(a, web[family])).ok, true, "its node: probes must work");
        }
      },
    );

    await t.step("a drop tells its rule and its pods", async () => {
      const stop = new AbortController();
      const next = (async () => {
        const options = { signal: stop.signal };
        for await (const flow of a.client.stream<FlowView>("/v1/monitor?type=drop", options)) {
          if (flow.protocol === "TCP") return flow;
        }
        throw new Error("the monitor ended before the drop");
      })();
      let flow: FlowView | undefined;
      // the stream may not be open yet
      while (!flow) flow = await Promise.race([next, tcp(far, web.ipv4).then(() => undefined)]);
      assertEquals(flow.reason, DENIED);
      assertEquals(flow.source.pod, "demo/far");
      assertEquals(flow.destination.pod, "demo/web");
      assertEquals(flow.destination.port, 7000);
      assertMatch(flow!.rule?.text ?? "", /demo\/deny/);
      const { stdout } = await a.cli("policy", "get", "demo/web");
      assertMatch(stdout, /ingress/i);
    });

    await t.step("pilus trace-level shows the level in force", async () => {
      const level = async () => (await a.cli("trace-level")).stdout;
      assertEquals(await level(), "tracing: connections\n");
      assertEquals((await a.cli("trace-level", "packets")).code, 0);
      assertEquals(await level(), "tracing: packets\n");
      assertEquals((await a.cli("trace-level", "connections")).code, 0);
    });

    await t.step("pilus monitor shows what was dropped before, by its filters", async () => {
      const kept = async (...options: string[]) => {
        const { code, stdout } = await a.cli("monitor", "-o", "json", ...options);
        assertEquals(code, 0);
        return stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
      };
      const drops = ["--drops", "--to-pod", "demo/web", "--protocol", "tcp"];
      for (const pod of ["demo/near", "demo/far"]) {
        const found: FlowView[] = await kept(...drops, "--from-pod", pod, "--last", "2");
        assertEquals(found.map(({ source }) => source.pod), [pod, pod]);
        assertEquals(found.map(({ reason }) => reason), [DENIED, DENIED]);
      }
      const [last]: FlowView[] = await kept(...drops, "--last", "1");
      assertEquals(last?.source.pod, "demo/far");
      assertEquals(await kept(...drops, "--from-pod", "demo/web", "--no-follow"), []);
      const events: AgentEventView[] = await kept("--type", "agent", "--since", "1h");
      assert(events.some(({ text }) => text.endsWith("of demo/web")), JSON.stringify(events));
    });

    await t.step("ports and peers: only clients, only TCP 7000", async () => {
      lab.apply(
        "policy",
        networkPolicy("web", {
          podSelector: WEB,
          policyTypes: ["Ingress"],
          ingress: [{
            from: [{ podSelector: { matchLabels: { app: "client" } } }],
            ports: [{ protocol: "TCP", port: 7000 }],
          }],
        }),
      );
      for (const family of FAMILIES) {
        await assertTcp(near, web[family], true);
        await assertTcp(far, web[family], true);
        await assertTcp(far, web[family], false, 8080);
        await assertTcp(guest, web[family], false);
        assertEquals((await udp(far, web[family])).error, "timeout");
      }
    });

    await t.step("egress: a guest may reach only what is listed", async () => {
      lab.remove("policy");
      lab.apply(
        "egress",
        networkPolicy("egress", {
          podSelector: { matchLabels: { app: "guest" } },
          policyTypes: ["Egress"],
          egress: [{ to: [{ ipBlock: { cidr: `${web.ipv4}/32` } }, { podSelector: WEB }] }],
        }),
      );
      await assertTcp(guest, far.ipv4, false);
      await assertTcp(guest, far.ipv6, false);
      await assertTcp(guest, web.ipv6, true);
      await assertTcp(web, guest.ipv6, true);
      lab.remove("egress");
      await assertTcp(guest, far.ipv4, true);
    });

    await t.step("CiliumNetworkPolicy: a deny wins over what is allowed", async () => {
      lab.apply(
        "policy",
        ciliumPolicy("web", {
          endpointSelector: WEB,
          ingress: [{ fromEntities: ["cluster"] }],
          ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: "guest" } }] }],
        }),
      );
      await assertTcp(guest, web.ipv4, false);
      await assertTcp(far, web.ipv4, true);
      lab.remove("policy");
      await assertTcp(guest, web.ipv4, true);
    });

    await t.step(
      "kube-apiserver is the nodes that the endpoints of default/kubernetes name",
      async () => {
        const servers = (...nodes: LabNode[]) =>
          lab.apply(
            "servers",
            JSON.stringify({
              apiVersion: "discovery.k8s.io/v1",
              kind: "EndpointSlice",
              metadata: {
                name: "kubernetes",
                namespace: "default",
                labels: { "kubernetes.io/service-name": "kubernetes" },
              },
              addressType: "IPv4",
              endpoints: nodes.map(({ ipv4 }) => ({ addresses: [ipv4] })),
            }),
          );
        servers(b);
        lab.apply(
          "policy",
          ciliumPolicy("web", {
            endpointSelector: WEB,
            ingress: [{ fromEntities: ["kube-apiserver"] }],
            egress: [{ toEntities: ["kube-apiserver"] }],
          }),
        );
        await assertTcp(far, web.ipv4, false);
        await assertTcp(b, web.ipv4, true);
        assertEquals((await ping(web, b.ipv4, "-W1")).code, 0);
        servers(a);
        await assertTcp(b, web.ipv4, false);
        assertEquals((await ping(web, a.ipv4, "-W1")).code, 0);
        assert((await ping(web, b.ipv4, "-W1")).code !== 0);
        lab.remove("policy");
        lab.remove("servers");
      },
    );
  });
});

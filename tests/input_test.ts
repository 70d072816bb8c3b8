// Wrong input, and the message that each gives: what failed, the rule, the value and the fix.

import { assertEquals, assertMatch } from "@std/assert";
import type { StatusView } from "../agent/api/views.ts";
import type { LabNode, RunResult } from "../cli/lab/lab.ts";
import { settle, tcp } from "./lab/clients.ts";
import { pilus, withLab } from "./lab/test_lab.ts";

async function problem(node: LabNode, source: RegExp): Promise<string> {
  const found = ({ problems }: StatusView) => problems.find((p) => source.test(p.source));
  const status = await settle(() => node.status(), (now) => found(now) !== undefined);
  const { source: file, line, message } = found(status) ?? { source: "", message: "no problem" };
  return `${file}:${line ?? ""}: ${message}`;
}

/** Runs an agent that ends at once, with the node's directories but for what `change` says. */
function agent(node: LabNode, change: Record<string, string>, wrap: string[] = []) {
  const words = node.agentWords;
  for (const [name, value] of Object.entries(change)) words[words.indexOf(name) + 1] = value;
  return node.exec([...wrap, "timeout", "5", ...words]);
}

function answer({ stdout }: RunResult): { code: number; msg: string } {
  const { code, msg } = JSON.parse(stdout);
  return { code, msg };
}

Deno.test("wrong manifests are told by file and line, and the last good version stays", async (t) => {
  await withLab({ nodes: 1 }, async ({ lab, a, pod, expectDrops }) => {
    expectDrops("Policy denied");
    const web = await pod(a, "web"), client = await pod(a, "client");

    await t.step("malformed YAML", async () => {
      lab.apply("broken", "apiVersion: v1\nkind: Pod\nmetadata: {name: x\n");
      assertMatch(await problem(a, /broken\.yaml/), /broken\.yaml:\d+: /);
      assertEquals((await a.status()).health.ok, true);
      lab.remove("broken");
    });

    await t.step("an unknown field", async () => {
      lab.apply(
        "policy",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n" +
          "metadata: {name: typo, namespace: demo}\nspec:\n  podSelector: {}\n  ingres: []\n",
      );
      assertMatch(await problem(a, /policy\.yaml/), /policy\.yaml:6: .*ingres/);
    });

    await t.step("a policy that becomes malformed stays in force as it was", async () => {
      const deny = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n" +
        "metadata: {name: deny, namespace: demo}\nspec: {podSelector: {}, policyTypes: [Egress]}\n";
      lab.apply("policy", deny);
      await settle(() => tcp(client, web.ipv4), ({ error }) => error === "timeout");
      lab.apply("policy", deny + "  broken: [\n");
      await problem(a, /policy\.yaml/);
      assertEquals((await tcp(client, web.ipv4)).error, "timeout");
      lab.remove("policy");
      assertEquals((await settle(() => tcp(client, web.ipv4), ({ ok }) => ok === true)).ok, true);
    });

    await t.step("addresses that a node may not speak for", async () => {
      const folder = `${lab.manifests}/.pilus/endpoints/evil`;
      Deno.mkdirSync(folder);
      const claims: [string, string, RegExp, RegExp][] = [
        [
          "8.8.8.8",
          a.ipv4,
          /^CiliumEndpoint demo\/evil$/,
          /8\.8\.8\.8 does not count: .*for pods of Node node-a/,
        ],
        [
          web.ipv4,
          "192.168.60.66",
          /^CiliumEndpoints of 192\.168\.60\.66$/,
          /do not count: 192\.168\.60\.66 is the InternalIP of no Node/,
        ],
      ];
      for (const [ipv4, node, source, message] of claims) {
        Deno.writeTextFileSync(
          `${folder}/demo_evil.json`,
          JSON.stringify({
            apiVersion: "cilium.io/v2",
            kind: "CiliumEndpoint",
            metadata: { name: "evil", namespace: "demo" },
            status: {
              id: 7,
              identity: { id: 40001, labels: ["k8s:app=evil"] },
              networking: { addressing: [{ ipv4 }], node },
            },
          }),
        );
        assertMatch(await problem(a, source), message);
        assertEquals((await tcp(client, web.ipv4)).ok, true);
        Deno.removeSync(`${folder}/demo_evil.json`);
        await settle(() => a.status(), (status) => status.problems.length === 0);
      }
      Deno.removeSync(folder, { recursive: true });
    });

    await t.step("an address that two pods claim", async () => {
      lab.apply(
        "node-twins",
        JSON.stringify({
          apiVersion: "v1",
          kind: "Node",
          metadata: { name: "twins" },
          spec: { podCIDR: "10.60.9.0/24" },
          status: { addresses: [{ type: "InternalIP", address: "192.168.60.9" }] },
        }),
      );
      const endpoint = (name: string) =>
        JSON.stringify({
          apiVersion: "cilium.io/v2",
          kind: "CiliumEndpoint",
          metadata: { name, namespace: "demo" },
          status: {
            id: 7,
            identity: { id: 40001, labels: [`k8s:app=${name}`] },
            networking: { addressing: [{ ipv4: "10.60.9.9" }], node: "192.168.60.9" },
            state: "ready",
          },
        });
      const folder = `${lab.manifests}/.pilus/endpoints/twins`;
      Deno.mkdirSync(folder);
      for (const name of ["one", "two"]) {
        Deno.writeTextFileSync(`${folder}/demo_${name}.json`, endpoint(name));
      }
      const both = ({ problems }: StatusView) =>
        problems.some(({ message }) => /10\.60\.9\.9/.test(message));
      const status = await settle(() => a.status(), both);
      assertMatch(JSON.stringify(status.problems), /10\.60\.9\.9.*demo\/(one|two)/);
      Deno.removeSync(folder, { recursive: true });
      lab.remove("node-twins");
      assertEquals((await settle(() => a.status(), (s) => s.problems.length === 0)).problems, []);
    });
  });
});

Deno.test("a CNI call that cannot be served says why, with the specification's code", async (t) => {
  await withLab({ nodes: 1 }, async ({ a }) => {
    const pod = a.createPod("demo", "pod");
    const missing = { CNI_NETNS: "/run/no-such-namespace" };
    const cases: [string, number, RegExp, Parameters<LabNode["cni"]>[2]][] = [
      ["not JSON", 6, /Cannot decode the configuration on stdin/, { config: "{" }],
      ["an unsupported version", 1, /Incompatible cniVersion "7\.0\.0": pilus speaks/, {
        config: { ...a.cniConfig(), cniVersion: "7.0.0" },
      }],
      ["a missing namespace", 4, /no-such-namespace/, { env: missing }],
    ];
    for (const [name, code, message, options] of cases) {
      await t.step(name, async () => {
        const given = answer(await a.cni("ADD", pod, options));
        assertEquals(given.code, code, given.msg);
        assertMatch(given.msg, message);
      });
    }

    await t.step("the agent is down", async () => {
      await a.stopAgent();
      const given = answer(await a.cni("ADD", pod));
      assertEquals(given.code, 50);
      assertMatch(
        given.msg,
        /Cannot reach the agent at .*pilus\.sock.*Start it with `pilus agent`/,
      );
      const { code, stderr } = await a.cli("status");
      assertEquals(code, 3);
      assertMatch(stderr, /Cannot reach the agent at .*pilus\.sock/);
      a.startAgent();
      await a.ready();
    });
  });
});

Deno.test("an agent that the machine cannot carry says what is missing", async (t) => {
  await withLab({ nodes: 1 }, async ({ lab, a }) => {
    await t.step("not root", async () => {
      const user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
      const program = `${lab.directory}/program`;
      Deno.copyFileSync(pilus()[0]!, program);
      Deno.chmodSync(program, 0o755);
      Deno.chmodSync(lab.directory, 0o755);
      const { code, stderr } = await a.exec([
        ...user,
        program,
        ...a.agentWords.slice(pilus().length),
      ]);
      assertEquals(code, 5, stderr);
      assertMatch(stderr, /must run as root; use sudo/);
    });

    await t.step("a kernel without BTF", async () => {
      const hidden = [
        "unshare",
        "-m",
        "sh",
        "-c",
        'mount -t tmpfs none /sys/kernel/btf; exec "$@"',
      ];
      const { code, stderr } = await agent(a, {}, [...hidden, "sh"]);
      assertEquals(code, 1, stderr);
      assertMatch(stderr, /the kernel has no BTF; boot one built with CONFIG_DEBUG_INFO_BTF=y/);
    });

    await t.step("no bpffs", async () => {
      const { code, stderr } = await agent(a, { "--bpffs": `${lab.directory}/pilus` });
      assertEquals(code, 5, stderr);
      assertMatch(stderr, /no bpffs is mounted there; run: mount -t bpf bpf/);
    });

    await t.step("no such device", async () => {
      await a.stopAgent();
      const { code, stderr } = await agent(a, { "--device": "eth9" });
      assertEquals(code, 1, stderr);
      assertMatch(stderr, /Cannot use device eth9: there is none; see `ip link`/);
      a.startAgent();
      await a.ready();
    });
  });
});

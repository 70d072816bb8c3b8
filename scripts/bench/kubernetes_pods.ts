/**
 * How soon many pods of a real node of Kubernetes are Ready, and gone: with pilus, and with Debian's
 * bridge and host-local plugins, by turns on the same node in the same run.
 *
 * Usage: deno run -A scripts/bench/kubernetes_pods.ts [ROUNDS [PODS]]. Needs dist/pilus and what
 * `scripts/kubernetes/build.sh lab` makes. Writes dist/bench/kubernetes_pods.json; exits 1 when the limit
 * is not kept.
 */

import { fromFileUrl } from "@std/path";
import { retry } from "../../tests/kubernetes/retry.ts";
import { NodeLab, whyNoNodes } from "../../tests/kubernetes/node_lab.ts";
import { finish, quantile, report } from "./agent/report.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const ROUNDS = Number(Deno.args[0] ?? 3), PODS = Number(Deno.args[1] ?? 60);
const NODE = "bench-a";

/** Of the bridge's median. */
const LIMIT = 1.1;

const BRIDGE = JSON.stringify({
  cniVersion: "1.0.0",
  name: "bridge",
  plugins: [{
    type: "bridge",
    bridge: "cni0",
    isGateway: true,
    ipMasq: true,
    ipam: {
      type: "host-local",
      ranges: [[{ subnet: "10.244.0.0/24" }]],
      routes: [{ dst: "0.0.0.0/0" }],
    },
  }],
});

const pod = (_: unknown, n: number) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: `many-${n}`, namespace: "demo", labels: { app: "many" } },
  spec: {
    nodeName: NODE,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "c", image: "pilus.test/busybox:1", imagePullPolicy: "Never" }],
  },
});

/** A network plugin that is put in place and taken away. */
interface Plugin {
  start(lab: NodeLab): Promise<void>;
  stop(lab: NodeLab): Promise<void>;
}

const PLUGINS: Record<string, Plugin> = {
  pilus: {
    start(lab) {
      lab.startAgent(NODE);
      return Promise.resolve();
    },
    async stop(lab) {
      await lab.stopAgent(NODE);
      await lab.uninstall(NODE);
    },
  },
  bridge: {
    async start(lab) {
      await lab.inNode(
        NODE,
        "cp",
        "/usr/lib/cni/bridge",
        "/usr/lib/cni/host-local",
        "/opt/cni/bin/",
      );
      const file = "/etc/cni/net.d/10-bridge.conflist";
      await lab.inNode(NODE, "sh", "-c", 'printf %s "$1" >"$2"', "sh", BRIDGE, file);
    },
    async stop(lab) {
      await lab.inNode(NODE, "rm", "/etc/cni/net.d/10-bridge.conflist");
      await lab.inNode(NODE, "ip", "link", "del", "cni0");
    },
  },
};

const why = whyNoNodes();
if (why) {
  console.error(why);
  Deno.exit(2);
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

const ready: Record<string, number[]> = { pilus: [], bridge: [] };
const gone: Record<string, number[]> = { pilus: [], bridge: [] };
{
  await using lab = await NodeLab.start([NODE]);
  const kubectl = (...args: string[]) => lab.kubectl(["-n", "demo", ...args]);
  await lab.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "demo" } });
  await retry(() => kubectl("get", "serviceaccount", "default"));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, plugin] of Object.entries(PLUGINS)) {
      await plugin.start(lab);
      await kubectl("wait", "--for=condition=Ready", "node", NODE, "--timeout=60s");
      const objects = Array.from({ length: PODS }, pod);
      ready[name]!.push(
        await seconds(async () => {
          await lab.apply(...objects);
          await kubectl("wait", "--for=condition=Ready", "pod", "-l=app=many", "--timeout=180s");
        }),
      );
      const all = ["delete", "pod", "-l=app=many", "--wait=true", "--timeout=180s"];
      gone[name]!.push(await seconds(() => kubectl(...all)));
      console.log(
        `${name}: Ready after ${ready[name]!.at(-1)}, gone after ${gone[name]!.at(-1)} s`,
      );
      await plugin.stop(lab);
    }
  }
}
for (const [what, times] of Object.entries({ Ready: ready, gone })) {
  const [ours, theirs] = [quantile(times["pilus"]!, 0.5), quantile(times["bridge"]!, 0.5)];
  const bridge = { peer: "bridge", value: theirs };
  report(
    `${PODS} pods ${what}`,
    "median",
    ours,
    "s",
    what === "Ready" ? { ...bridge, atMost: LIMIT } : bridge,
  );
}
Deno.mkdirSync(`${ROOT}dist/bench`, { recursive: true });
if (!finish(`${ROOT}dist/bench/kubernetes_pods.json`)) Deno.exit(1);

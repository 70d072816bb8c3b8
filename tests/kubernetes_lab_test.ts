/** Two real nodes of Kubernetes, whose network and services are pilus' by the API alone. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { NodeLab, type RunningPod, whyNoNodes } from "./kubernetes/node_lab.ts";
import { retry } from "./kubernetes/retry.ts";

const why = whyNoNodes();
const [A, B] = ["k8s-a", "k8s-b"] as const;

const metadata = (name: string, labels = {}) => ({ name, namespace: "demo", labels });
const container = (command?: string) => ({
  ...{ name: "c", image: "pilus.test/busybox:1", imagePullPolicy: "Never" },
  ...(command ? { command: ["sh", "-c", command] } : {}),
});
const client = (name: string, nodeName: string, app: string) => ({
  ...{ apiVersion: "v1", kind: "Pod", metadata: metadata(name, { app }) },
  spec: { nodeName, terminationGracePeriodSeconds: 0, containers: [container()] },
});
const SERVE = "hostname >/tmp/index.html; exec httpd -f -p 8080 -h /tmp";
const template = (app: string, version: string) => ({
  metadata: { labels: { app, version } },
  spec: {
    terminationGracePeriodSeconds: 2,
    topologySpreadConstraints: [{
      ...{ maxSkew: 1, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "DoNotSchedule" },
      labelSelector: { matchLabels: { app } },
    }],
    containers: [{
      ...container(SERVE),
      ports: [{ name: "http", containerPort: 8080 }],
      readinessProbe: { httpGet: { port: "http", path: "/" }, periodSeconds: 1 },
      // who has it as a backend still asks for a moment
      lifecycle: { preStop: { exec: { command: ["sleep", "1"] } } },
    }],
  },
});
const web = (version: string) => ({
  ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: metadata("web") },
  spec: {
    replicas: 4,
    selector: { matchLabels: { app: "web" } },
    strategy: { rollingUpdate: { maxUnavailable: 0 } },
    template: template("web", version),
  },
});
const service = {
  ...{ apiVersion: "v1", kind: "Service", metadata: metadata("web") },
  spec: {
    type: "NodePort",
    clusterIP: "10.96.0.80",
    selector: { app: "web" },
    ports: [{ port: 80, targetPort: "http", nodePort: 30080 }],
  },
};
const policy = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: metadata("web"),
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    policyTypes: ["Ingress"],
    ingress: [{
      from: [{ podSelector: { matchLabels: { app: "client" } } }],
      ports: [{ port: "http" }],
    }],
  },
};

Deno.test({
  name: `real nodes of Kubernetes${why ? ` (skipped: ${why})` : ""}`,
  ignore: why !== undefined,
  async fn(t) {
    await using lab = await NodeLab.start([A, B]);
    const podOf = async (app: string): Promise<RunningPod> => (await lab.pods(`app=${app}`))[0]!;
    const rollout = (kind: string, name: string) =>
      lab.kubectl(["-n", "demo", "rollout", "status", kind, name, "--timeout=60s"]);

    await t.step("a node is ready when its agent is, and pods come up", async () => {
      for (const node of lab.nodes) lab.startAgent(node);
      await lab.kubectl(["wait", "--for=condition=Ready", "node", A, B, "--timeout=60s"]);
      await lab.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "demo" } });
      await retry(() => lab.kubectl(["-n", "demo", "get", "serviceaccount", "default"]));
      await lab.apply(web("1"), service, client("near", A, "client"), client("far", B, "other"));
      await rollout("deployment", "web");
      const ready = ["wait", "--for=condition=Ready", "pod", "near", "far", "--timeout=60s"];
      await lab.kubectl(["-n", "demo", ...ready]);
      assertEquals((await lab.pods("app=web")).length, 4);
    });
    const clients = [await podOf("client"), await podOf("other")];
    const pods = await lab.pods("app=web");

    await t.step("pods reach each other, services, node ports and the API server", async () => {
      for (const from of clients) {
        for (const to of pods) assertEquals(await lab.get(from, `http://${to.ip}:8080/`), to.name);
        const names = pods.map(({ name }) => name);
        assert(names.includes(await lab.get(from, "http://10.96.0.80/")));
        for (const node of lab.nodes) {
          assert(names.includes(await lab.get(from, `http://${lab.addressOf(node)}:30080/`)));
        }
        assertEquals(await lab.get(from, "https://10.96.0.1/readyz"), "ok");
      }
      for (const node of lab.nodes) {
        const url = `http://${lab.addressOf(node)}:30080/`;
        assertMatch(await lab.inNode("cp", "curl", "-s", "-m", "2", url), /^web-/);
      }
    });

    await t.step(
      "a policy is in force by labels and named ports, and no longer when it goes",
      async () => {
        const [near, far] = clients as [RunningPod, RunningPod];
        await lab.apply(policy);
        for (const { ip } of pods) await lab.awaitAnswer(far, `http://${ip}:8080/`, false);
        for (const { ip } of pods) await lab.awaitAnswer(near, `http://${ip}:8080/`, true);
        await lab.kubectl(["-n", "demo", "delete", "networkpolicy", "web"]);
        for (const { ip } of pods) await lab.awaitAnswer(far, `http://${ip}:8080/`, true);
      },
    );

    await t.step("a rolling update fails no request", async () => {
      const [near] = clients as [RunningPod];
      let asked = 0, over = false;
      const failures: string[] = [];
      const asking = (async () => {
        while (!over) {
          asked++;
          await lab.get(near, "http://10.96.0.80/").catch((error) => failures.push(`${error}`));
        }
      })();
      await lab.apply(web("2"));
      await rollout("deployment", "web");
      over = true;
      await asking;
      assertEquals([failures, asked > 20], [[], true]);
    });

    await t.step(
      "without API server and across a restart traffic goes on, and what comes then counts",
      async () => {
        const [near, far] = clients as [RunningPod, RunningPod];
        await lab.apply(policy);
        await lab.awaitAnswer(far, "http://10.96.0.80/", false);
        await lab.stopProgram("kube-apiserver");
        await lab.stopAgent(A, "SIGKILL");
        lab.startAgent(A);
        await retry(() => lab.status(A));
        for (let i = 0; i < 5; i++) await lab.get(near, "http://10.96.0.80/");
        await lab.awaitAnswer(far, "http://10.96.0.80/", false);
        await retry(async () => {
          assertMatch((await lab.status(A)).health.reason ?? "", /not in sync with the API server/);
        });
        await lab.startProgram("kube-apiserver");
        await lab.ready();
        await lab.kubectl(["-n", "demo", "delete", "networkpolicy", "web"]);
        await lab.awaitAnswer(far, "http://10.96.0.80/", true);
      },
    );

    await t.step(
      "host ports, pods of the host's network, exec and logs work",
      async () => {
        const serving = (name: string, more: object, port: object) => ({
          ...{ apiVersion: "v1", kind: "Pod", metadata: metadata(name, { app: name }) },
          spec: {
            ...{ nodeName: A, terminationGracePeriodSeconds: 0, ...more },
            containers: [{ ...container(`echo started; ${SERVE}`), ports: [port] }],
          },
        });
        await lab.apply(
          serving("host-port", {}, { containerPort: 8080, hostPort: 30800 }),
          serving("host-network", { hostNetwork: true }, { containerPort: 8080 }),
        );
        const names = ["host-port", "host-network"];
        const ready = ["wait", "--for=condition=Ready", "pod", ...names, "--timeout=60s"];
        await lab.kubectl(["-n", "demo", ...ready]);
        const [, far] = clients as [RunningPod, RunningPod];
        const url = (port: number) => `http://${lab.addressOf(A)}:${port}/`;
        await retry(async () => {
          assertEquals(await lab.get(far, url(30800)), "host-port");
          assertEquals(await lab.get(far, url(8080)), A);
          assertEquals(
            (await lab.inNode("cp", "curl", "-sm", "2", url(30800))).trim(),
            "host-port",
          );
        });
        const demo = ["-n", "demo"];
        assertEquals(await lab.kubectl([...demo, "exec", "far", "--", "echo", "ok"]), "ok\n");
        assertEquals(await lab.kubectl([...demo, "logs", "host-port"]), "started\n");
        await lab.kubectl([...demo, "delete", "pod", "--now", ...names]);
      },
    );

    await t.step(
      "probes pass where a policy denies all, and a pod that moves is reached",
      async () => {
        const [near] = clients as [RunningPod];
        await lab.apply({
          ...{
            apiVersion: "networking.k8s.io/v1",
            kind: "NetworkPolicy",
            metadata: metadata("none"),
          },
          spec: { podSelector: {}, policyTypes: ["Ingress"] },
        });
        await lab.apply(web("3"));
        await rollout("deployment", "web");
        await lab.awaitAnswer(near, "http://10.96.0.80/", false);
        await lab.kubectl(["-n", "demo", "delete", "networkpolicy", "none"]);
        await lab.awaitAnswer(near, "http://10.96.0.80/", true);
        const moving = (node: string) => ({
          ...{ apiVersion: "apps/v1", kind: "StatefulSet", metadata: metadata("db") },
          spec: {
            ...{ serviceName: "db", replicas: 1, selector: { matchLabels: { app: "db" } } },
            template: {
              metadata: { labels: { app: "db" } },
              spec: {
                ...{ nodeSelector: { "kubernetes.io/hostname": node } },
                ...{ terminationGracePeriodSeconds: 0, containers: [container(SERVE)] },
              },
            },
          },
        });
        for (const node of [A, B]) {
          await lab.apply(moving(node));
          await rollout("statefulset", "db");
          const db = await podOf("db");
          assertEquals([db.name, db.node], ["db-0", node]);
          await retry(async () => {
            for (const from of clients) {
              assertEquals(await lab.get(from, `http://${db.ip}:8080/`), "db-0");
            }
          });
        }
      },
    );

    await t.step("agents are well, and have logged no error", async () => {
      for (const node of lab.nodes) {
        await retry(async () => {
          const { health, problems, watches = [] } = await lab.status(node);
          assertEquals([health, problems], [{ ok: true }, []]);
          assertEquals(watches.map(({ state }) => state), Array(8).fill("watching"));
        });
        const errors = lab.logText(node).split("\n").filter((line) => /^\S+ error /.test(line));
        assertEquals(errors, []);
      }
    });

    await t.step("what a node published goes with its Node", async () => {
      const owners = async () => {
        const { items } = JSON.parse(
          await lab.kubectl(["get", "ciliumendpointslices", "-o", "json"]),
        );
        const of = (items as { metadata: { ownerReferences: { name: string }[] } }[])
          .flatMap(({ metadata: { ownerReferences } }) => ownerReferences.map(({ name }) => name));
        return [...new Set(of)].sort();
      };
      assertEquals(await owners(), [A, B]);
      await lab.stopAgent(B);
      await lab.kubectl(["delete", "node", B]);
      await retry(async () => assertEquals(await owners(), [A]), 60_000);
    });

    await t.step("uninstall leaves nothing of what was kept", async () => {
      for (const node of lab.nodes) {
        await lab.stopAgent(node);
        await lab.uninstall(node);
        assertThrows(() => Deno.lstatSync(lab.stateOf(node)), Deno.errors.NotFound);
      }
    });
  },
});

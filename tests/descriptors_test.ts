// Who opens connections and says nothing keeps nobody else from the agent.

import { assert, assertEquals } from "@std/assert";
import type { LabHost, LabNode } from "../cli/lab/lab.ts";
import { settle } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

const METRICS = 9962, HEALTH = 32123, OTHER_HEALTH = 32124;

/** Connects over and over, sends half a request each time, says so and keeps all of them. */
const FLOOD = `
import socket, sys, time
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
kept = []
for i in range(count):
    s = socket.socket(socket.AF_UNIX) if port == 0 else socket.socket()
    s.settimeout(5)
    try:
        s.connect(host if port == 0 else (host, port))
        s.send(b"GET / HTTP/1.1\\r\\nhost: x\\r\\nx-a: ")
    except OSError:
        pass
    kept.append(s)
print("done", flush=True)
time.sleep(600)
`;

/** Resolves when the connections are there; disposing ends them. */
async function flood(from: LabHost, host: string, port: number): Promise<AsyncDisposable> {
  const words = ["python3", "-c", FLOOD, host, String(port), "700"];
  const child = from.spawn(words, {}, { stdout: "piped", stderr: "null" });
  const reader = child.stdout.getReader();
  await reader.read();
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.status;
    },
  };
}

async function fetched(from: LabHost, node: LabNode, port: number, path: string): Promise<string> {
  const url = `http://${node.ipv4}:${port}${path}`;
  const { stdout } = await from.exec(["curl", "-s", "-m", "20", "-w", "%{http_code}", url]);
  return stdout.slice(-3);
}

function service(name: string, healthCheckNodePort: number, clusterIP: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "demo" },
    spec: {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      ...{ clusterIP, healthCheckNodePort },
      selector: { app: "web" },
      ports: [{ port: 80, targetPort: 8080 }],
    },
    status: { loadBalancer: { ingress: [{ ip: `192.168.60.2${healthCheckNodePort % 100}` }] } },
  });
}

Deno.test("connections that say nothing take neither descriptors nor service from others", async (t) => {
  const agentArgs = ["--metrics", `0.0.0.0:${METRICS}`];
  await withLab({ nodes: 1, agentArgs }, async ({ lab, a, pod }) => {
    await pod(a, "web");
    lab.apply("one", service("one", HEALTH, "10.96.0.30"));
    lab.apply("two", service("two", OTHER_HEALTH, "10.96.0.31"));
    const limit = ["prlimit", "--pid", String(a.agentPid), "--nofile=600:600"];
    assertEquals((await a.exec(limit)).code, 0);
    const served = () => fetched(lab.outside, a, OTHER_HEALTH, "/");
    assertEquals(await settle(served, (code) => code === "200"), "200");

    const targets: [name: string, from: LabHost, host: string, port: number][] = [
      ["the metrics' address", lab.outside, a.ipv4, METRICS],
      ["a health check port", lab.outside, a.ipv4, HEALTH],
      ["the socket", a, a.socket, 0],
    ];
    for (const [name, from, host, port] of targets) {
      await t.step(`to ${name}`, async () => {
        await using _ = await flood(from, host, port);
        assert((await a.status()).health.ok);
        assertEquals(await fetched(lab.outside, a, METRICS, "/metrics"), "200");
        for (const check of [HEALTH, OTHER_HEALTH]) {
          assertEquals(await fetched(lab.outside, a, check, "/"), "200");
        }
        await (await a.addPod("demo", "late")).delete();
      });
    }

    await t.step("and the agent ends at a signal while a client says nothing", async () => {
      await using _ = await flood(lab.outside, a.ipv4, HEALTH);
      await a.stopAgent();
      a.startAgent();
      await a.ready();
    });
  });
});

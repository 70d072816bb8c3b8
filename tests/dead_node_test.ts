/** Pods of a node that has died: what it published of them outlives neither the Pod nor the Node. */

import { assertEquals } from "@std/assert";
import { serviceManifest } from "./lab/balancer.ts";
import { get, settle } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

/** A Service whose backends are the pods of an app. */
const serviceOf = (app: string, clusterIP: string) =>
  serviceManifest(app, { app }, { spec: { clusterIP, ports: [{ port: 80, targetPort: 8080 }] } });

Deno.test("pods of a dead node are no backends once their Pod or their Node has gone", async () => {
  await withLab({}, async ({ lab, a, b, pod, expectDrops }) => {
    expectDrops(
      "No tunnel endpoint for the address",
      "No known pod has the address",
      "Service has no backend",
    );
    const client = await pod(b, "client", { server: false });
    const services = { web: "10.96.9.5", db: "10.96.9.6" };
    for (const [app, ip] of Object.entries(services)) {
      await pod(a, `${app}-a`, { labels: { app } });
      await pod(b, `${app}-b`, { labels: { app } });
      lab.apply(app, serviceOf(app, ip));
    }
    /** Who answers a dozen times. */
    const answers = async (app: keyof typeof services) => {
      const said = new Set<string>();
      for (let i = 0; i < 12; i++) {
        said.add(await get(client, services[app], "/", { port: 80 }).catch(() => "nobody"));
      }
      return [...said].sort().join(" ");
    };
    const settled = (app: keyof typeof services, wanted: string) =>
      settle(() => answers(app), (who) => who === wanted, 15_000);
    assertEquals(await settled("web", "web-a web-b"), "web-a web-b");
    assertEquals(await settled("db", "db-a db-b"), "db-a db-b");

    // its pods go on: who answers is a backend
    await a.stopAgent("SIGKILL");
    lab.remove("pod-demo-web-a");
    assertEquals(await settled("web", "web-b"), "web-b", "without its Pod");
    lab.remove(`node-${a.name}`);
    assertEquals(await settled("db", "db-b"), "db-b", "without its Node");
    const { problems } = await b.status();
    assertEquals(problems.map(({ source }) => source), [`CiliumEndpoints of ${a.ipv4}`]);

    lab.apply(`node-${a.name}`, a.manifest);
    a.startAgent(["--manifest-wait", "0"]);
    assertEquals(await settled("db", "db-a db-b"), "db-a db-b", "back");
    await a.ready();
  });
});

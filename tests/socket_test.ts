// Sockets whose services change under them: backends that go for good, and those that only leave.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { LabHost, LabPod } from "../cli/lab/lab.ts";
import type { ServiceView } from "../agent/api/views.ts";
import { inKernel, PEER, settle } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

const VIP = { ipv4: "10.96.0.7", ipv6: "fd60:96::7" } as const;

function service(selector: Record<string, string>): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "echo", namespace: "demo" },
    spec: {
      clusterIP: VIP.ipv4,
      clusterIPs: Object.values(VIP),
      selector,
      ports: [
        { name: "tcp", port: 7, targetPort: 7000 },
        { name: "udp", port: 7, targetPort: 7000, protocol: "UDP" },
      ],
    },
  });
}

/**
 * How a program learns of it: send(2) of a datagram says that there is no peer any more, or the route
 * was faster and says that nobody has its address.
 */
const ENDED =
  /^ConnectionAbortedError|Destination address required|No route to host|Network is unreachable/;

/** A connection that is kept busy for at most 20 seconds; resolves to how it ended. */
function keep(host: LabHost, verb: "hold" | "chat", ip: string, port = 7): Promise<string> {
  const run = host.exec([...PEER, verb, ip, String(port), "20"]);
  return run.then(({ stderr }) => stderr.trim().split("\n").at(-1) ?? "");
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("a socket ends when its backend is gone for good, and not before", async (t) => {
  await withLab({}, async ({ lab, a, b, pod, expectDrops }) => {
    // of packets that are on their way to a pod that goes
    expectDrops("Address is of no endpoint here", "Endpoint not ready");
    expectDrops("No tunnel endpoint for the address", "No known pod has the address");
    const client = await pod(a, "client");
    const backends = new Map<string, LabPod>();
    for (const [node, name] of [[a, "echo-a"], [b, "echo-b"], [b, "other"]] as const) {
      backends.set(name, await pod(node, name, { labels: { app: name } }));
    }
    const serve = async (app: string) => {
      lab.apply("service", service({ app }));
      const { ipv4 } = backends.get(app)!;
      await settle(
        () => a.client.call<ServiceView[]>("/v1/services"),
        (rows) => rows.some(({ backends }) => backends.some(({ address }) => address === ipv4)),
      );
      await inKernel(a, b);
    };
    const bystander = keep(client, "hold", backends.get("other")!.ipv4, 7000);
    let ended: string | undefined;
    void bystander.then((how) => ended = how);

    for (const name of ["echo-a", "echo-b"]) {
      await t.step(`${name}: connections of a pod and of the node`, async () => {
        await serve(name);
        const kept = [client, a].flatMap((host) =>
          Object.values(VIP).flatMap((ip) => [keep(host, "hold", ip), keep(host, "chat", ip)])
        );
        await pause(700);
        await serve("other"); // not of the service any more, and alive
        const early = await Promise.race([Promise.any(kept), pause(2500)]);
        assertEquals(early, undefined, "a backend that lives keeps its connections");

        await backends.get(name)!.delete();
        lab.remove(`pod-demo-${name}`);
        for (const how of await Promise.all(kept)) {
          assertMatch(how, ENDED);
        }
      });
    }
    assertEquals(ended, undefined, "others are left alone");
    assertStringIncludes(a.logText(), "stale sockets destroyed");
  });
});

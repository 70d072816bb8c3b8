/** A node gets another address while its agent runs. */

import { assert, assertEquals } from "@std/assert";
import { type LabHost, OUTSIDE } from "../cli/lab/lab.ts";
import { serviceManifest } from "./lab/balancer.ts";
import { get, settle } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

const FRESH = "192.168.60.51", NODE_PORT = 30088, CLUSTER_IP = "10.96.9.8";

/** A Service with the node port, whose backends are the pods of an app. */
const nodePortOf = (app: string) =>
  serviceManifest("web", { app }, {
    spec: {
      type: "NodePort",
      clusterIP: CLUSTER_IP,
      ports: [{ port: 80, targetPort: 8080, nodePort: NODE_PORT }],
    },
  });

for (const routing of ["vxlan", "native"] as const) {
  for (const first of ["the device", "the manifest"]) {
    Deno.test(`a node's address changes, ${first} first (${routing})`, async () => {
      await withLab({ routing }, async ({ lab, a, b, pod, serve, expectDrops }) => {
        expectDrops(
          "No tunnel endpoint for the address",
          "No known pod has the address",
          "Invalid identity in the tunnel header",
        );
        expectDrops("Frame of the tunnel from no known node", "Service has no backend");
        await serve(lab.outside);
        const here = await pod(a, "here"), there = await pod(b, "there");
        lab.apply(
          "service",
          nodePortOf("here"),
        );
        /** Everything that has to do with the node's address. */
        const ways = (address: string): [LabHost, string, string, number, string][] => [
          [here, OUTSIDE.ipv4, "/peer", 8080, address],
          [there, here.ipv4, "/", 8080, "here"],
          [here, there.ipv4, "/", 8080, "there"],
          [b, here.ipv4, "/", 8080, "here"],
          [a, there.ipv4, "/", 8080, "there"],
          [lab.outside, address, "/", NODE_PORT, "here"],
          [there, address, "/", NODE_PORT, "here"],
          [there, CLUSTER_IP, "/", 80, "here"],
        ];
        const go = async (address: string) => {
          for (const [from, ip, path, port, answer] of ways(address)) {
            const said = () => get(from, ip, path, { port }).catch((error) => String(error));
            const last = await settle(said, (text) => text === answer, 20_000);
            assertEquals(last, answer, `${from.name} → ${ip}:${port}`);
          }
          const { health } = await settle(() => a.status(), ({ health }) => health.ok, 20_000);
          assert(health.ok, health.reason);
        };
        await go(a.ipv4);
        const changes = [
          () =>
            a.exec([
              "sh",
              "-ec",
              `ip addr del ${a.ipv4}/24 dev eth0; ip addr add ${FRESH}/24 dev eth0
               ip route replace default via 192.168.60.254 dev eth0`,
            ]),
          () => {
            const manifest = JSON.parse(a.manifest);
            manifest.status.addresses[0].address = FRESH;
            lab.apply(`node-${a.name}`, JSON.stringify(manifest));
          },
        ];
        if (first === "the manifest") changes.reverse();
        for (const change of changes) {
          await change();
          await new Promise((resolve) => setTimeout(resolve, 1500));
        }
        await go(FRESH);
      });
    });
  }
}

Deno.test("a node port is at every address of the node, as long as it is there", async () => {
  await withLab({}, async ({ lab, a, b, pod, expectDrops }) => {
    expectDrops("Service has no backend");
    await pod(b, "web");
    const client = await pod(a, "client", { server: false });
    lab.apply(
      "service",
      nodePortOf("web"),
    );
    const answers = (from: LabHost, ip: string, wanted: boolean) =>
      settle(
        () => get(from, ip, "/", { port: NODE_PORT }).then((name) => name === "web", () => false),
        (ok) => ok === wanted,
        10_000,
      );
    assert(await answers(lab.outside, a.ipv4, true));
    // as keepalived and kube-vip add them, and one that is announced by BGP
    for (const [ip, device] of [["192.168.60.101/24", "eth0"], ["192.0.2.1/32", "lo"]] as const) {
      const [address = ""] = ip.split("/");
      if (device === "lo") await lab.wire.exec(["ip", "route", "replace", address, "via", a.ipv4]);
      await a.exec(["ip", "address", "add", ip, "dev", device]);
      for (const from of [lab.outside, client, a]) {
        assert(await answers(from, address, true), `${from.name} → ${ip} of ${device}`);
      }
      await a.exec(["ip", "address", "del", ip, "dev", device]);
      assert(!await answers(lab.outside, address, false), `${ip} after it has gone`);
    }
  });
});

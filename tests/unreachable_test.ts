/** Addresses of nodes' pod CIDRs that no pod has are refused at once, and do not leave the node. */

import { assertMatch } from "@std/assert";
import type { LabHost } from "../cli/lab/lab.ts";
import { FAMILIES, type Family } from "../datapath/testdata/families.ts";
import { ping, settle } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

for (const routing of ["vxlan", "native"] as const) {
  Deno.test(`nobody's address is unreachable (${routing})`, async (t) => {
    await withLab({ routing, nodes: 1 }, async ({ lab, a, pod, expectDrops }) => {
      expectDrops("No known pod has the address");
      const client = await pod(a, "client"), gone = await pod(a, "gone");
      await gone.delete();
      for (const family of FAMILIES) {
        // as where the network knows the nodes' pod CIDRs
        const cidr = { ipv4: "10.60.1.0/24", ipv6: "fd60:1::/64" }[family];
        await lab.wire.exec(["ip", "route", "replace", cidr, "via", a[family]]);
      }
      const podCIDRs = ["10.60.9.0/24", "fd60:9::/64"];
      const elsewhere = { ipv4: "10.60.9.9", ipv6: "fd60:9::9" };
      lab.apply(
        "node-z",
        JSON.stringify({
          ...{ apiVersion: "v1", kind: "Node", metadata: { name: "node-z" }, spec: { podCIDRs } },
          status: { addresses: [{ type: "InternalIP", address: "192.168.60.9" }] },
        }),
      );
      const ways: [string, LabHost, Record<Family, string>][] = [
        ["a pod", client, gone],
        ["outside", lab.outside, gone],
        ["the node", a, gone],
        ["a pod to another node's", client, elsewhere],
      ];
      for (const [name, from, to] of ways) {
        for (const family of FAMILIES) {
          await t.step(`from ${name}, ${family}`, async () => {
            const look = async () => {
              const { stdout, stderr } = await ping(from, to[family]);
              return stdout + stderr;
            };
            const answered = /unreachable|No route/i;
            assertMatch(await settle(look, (text) => answered.test(text)), answered);
          });
        }
      }
    });
  });
}

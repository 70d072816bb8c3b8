// Who reaches whom, by real clients: over VXLAN and native routing, IPv4 and IPv6.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type LabHost, OUTSIDE } from "../cli/lab/lab.ts";
import { download, get, MEGABYTE, ping, settle, sha256, tcp, udp, upload } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";
import { FAMILIES } from "../datapath/testdata/families.ts";

const OUTSIDE_MTU = 1300;

for (const routing of ["vxlan", "native"] as const) {
  Deno.test(`pods, nodes and the outside reach each other over ${routing}`, async (t) => {
    await withLab({ routing, outsideMtu: OUTSIDE_MTU }, async ({ lab, a, b, pod, serve }) => {
      const a1 = await pod(a, "a1"), a2 = await pod(a, "a2"), b1 = await pod(b, "b1");
      for (const host of [lab.outside, a, b]) await serve(host);
      const file = `${lab.directory}/body`;
      Deno.writeFileSync(file, MEGABYTE);
      const sum = await sha256(MEGABYTE);
      // what node b knows of a's pods comes through the shared directory
      await settle(() => ping(a1, b1.ipv4, "-W1"), ({ code }) => code === 0);

      for (const family of FAMILIES) {
        const step = (name: string, work: () => Promise<void>) => t.step(`${family} ${name}`, work);

        const ways: [string, LabHost, string][] = [
          ["pod to pod on its node", a1, a2[family]],
          ["pod to pod on another node", a1, b1[family]],
          ["pod to its node", a1, a[family]],
          ["pod to another node", a1, b[family]],
          ["node to its pod", a, a1[family]],
          ["node to a pod of another node", a, b1[family]],
        ];
        for (const [name, host, ip] of ways) {
          await step(`${name}: ping, TCP, UDP, 1 MB each way`, async () => {
            assertEquals((await ping(host, ip)).code, 0, "ping");
            assertEquals((await tcp(host, ip)).ok, true, "TCP");
            assertEquals((await udp(host, ip)).ok, true, "UDP");
            assertEquals(await download(host, ip), sum, "download");
            assertEquals(await upload(host, ip, file), sum, "upload");
          });
        }

        await step("pod to itself", async () => {
          assertEquals((await ping(a1, a1[family])).code, 0);
          assertEquals((await tcp(a1, a1[family])).ok, true);
        });

        await step("the other pod sees the pod's own address", async () => {
          assertEquals(await get(a1, b1[family], "/peer"), a1[family]);
          assertEquals(await get(a1, a2[family], "/peer"), a1[family]);
        });

        await step("pod to outside is seen as its node", async () => {
          assertEquals((await ping(a1, OUTSIDE[family])).code, 0);
          assertEquals(await get(a1, OUTSIDE[family], "/peer"), a[family]);
          assertEquals(await get(b1, OUTSIDE[family], "/peer"), b[family]);
          assertEquals((await udp(a1, OUTSIDE[family])).ok, true);
          assertEquals(await upload(a1, OUTSIDE[family], file), sum);
          assertEquals(await download(a1, OUTSIDE[family]), sum);
        });

        await step("large and fragmented datagrams", async () => {
          for (const size of [1200, 1472, 1473, 4000, 20000, 60000]) {
            for (const ip of [a2[family], b1[family], a[family]]) {
              assertEquals((await udp(a1, ip, 7000, size)).ok, true, `${size} bytes to ${ip}`);
            }
          }
          // IPv6 routers do not fragment: the first one is lost, and its error tells the path MTU
          const outside = () => udp(a1, OUTSIDE[family], 7000, 4000);
          assertEquals((await settle(outside, ({ ok }) => ok === true)).ok, true, "outside");
          assertEquals((await ping(a1, b1[family], "-s", "9000")).code, 0, "ping of 9000 bytes");
        });

        await step("path MTU errors arrive", async () => {
          const big = ["-M", "do", "-s", "1400"];
          const answer = await ping(a1, OUTSIDE[family], ...big);
          assertMatch(answer.stdout + answer.stderr, new RegExp(`mtu[ :=]+${OUTSIDE_MTU}`));
          const across = await ping(a1, b1[family], "-M", "do", "-s", "1600");
          assertMatch(
            across.stdout + across.stderr,
            routing === "vxlan" ? /mtu[ :=]+1450/ : /mtu[ :=]+1500/,
          );
        });

        await step("port unreachable arrives", async () => {
          for (const ip of [a2[family], b1[family], a[family], OUTSIDE[family]]) {
            assertEquals((await udp(a1, ip, 9)).error, "ECONNREFUSED", `UDP to ${ip}`);
            assertEquals((await tcp(a1, ip, 9)).error, "ECONNREFUSED", `TCP to ${ip}`);
          }
          assertEquals((await udp(a, b1[family], 9)).error, "ECONNREFUSED", "node to pod");
        });

        await step("TTL exceeded arrives, from the node and from behind it", async () => {
          for (const ttl of ["1", "2"]) {
            const answer = await ping(a1, OUTSIDE[family], "-t", ttl);
            assertMatch(answer.stdout, /Time to live exceeded|Hop limit/, `TTL ${ttl}`);
          }
        });

        await step("the outside does not reach pods by their addresses", async () => {
          assert((await ping(lab.outside, a1[family], "-W1")).code !== 0);
        });
      }
    });
  });
}

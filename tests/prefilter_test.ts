// Prefixes that a node does not listen to, on the wire of a running node.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { PrefilterView } from "../agent/api/views.ts";
import { OUTSIDE } from "../cli/lab/lab.ts";
import { inKernel, ping, settle } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

for (const choice of ["native", "generic", "off"] as const) {
  Deno.test(`the prefilter drops what its file says, and follows the file, with XDP ${choice}`, async (t) => {
    const file = Deno.makeTempFileSync();
    const options = { nodes: 1, agentArgs: ["--prefilter", file, "--xdp", choice] };
    try {
      await withLab(options, async ({ lab, a, expectDrops }) => {
        expectDrops("Denied by the prefilter");
        const reaches = async (ip: string) => (await ping(lab.outside, ip, "-W1")).code === 0;
        const view = () => a.client.call<PrefilterView>("/v1/prefilter");
        const write = async (...lines: string[]) => {
          Deno.writeTextFileSync(`${file}.new`, lines.join("\n"));
          Deno.renameSync(`${file}.new`, file);
          const count = lines.filter((line) => /^[0-9a-f:.]+[/]/.test(line)).length;
          await settle(view, ({ prefixes }) => prefixes.length === count);
          await inKernel(a);
        };

        await t.step("status says where packets are met, and why there", async () => {
          const mode = choice === "off" ? "tc" : choice;
          const { xdp: [eth0] } = await a.status();
          assertEquals([eth0?.device, eth0?.mode], ["eth0", mode]);
          assertStringIncludes((await a.cli("status")).stdout, ` eth0 ${mode} (${eth0!.reason})`);
        });

        await t.step("both families, counted", async () => {
          for (const ip of [a.ipv4, a.ipv6]) {
            assertEquals(await settle(() => reaches(ip), (yes) => yes), true, ip);
          }
          await write("# test", "203.0.113.0/24", "2001:db8:60::/48", "192.0.2.0/24");
          for (const ip of [a.ipv4, a.ipv6]) assertEquals(await reaches(ip), false);
          assert((await view()).dropped.packets >= 2);
          const { stdout } = await a.cli("prefilter", "list");
          assertMatch(stdout, /^203\.0\.113\.0\/24 +2$/m);
          assertStringIncludes(stdout, `3 prefixes of ${file}; `);
        });

        await t.step("a bad line is told, and the others hold", async () => {
          await write("outside", "2001:db8:60::/48");
          assertEquals([await reaches(a.ipv4), await reaches(a.ipv6)], [true, false]);
          const { stdout } = await a.cli("status");
          assertStringIncludes(stdout, `${file}:1: not an IPv4 or IPv6 prefix: "outside"`);
        });

        await t.step("without agent, and with one that finds no file", async () => {
          await a.stopAgent("SIGKILL");
          assertEquals(await reaches(a.ipv6), false);
          Deno.removeSync(file);
          a.startAgent();
          await a.ready();
          assertEquals(await reaches(a.ipv6), false);
          await write("198.51.100.0/24");
          assertEquals(await reaches(a.ipv6), true);
          assertEquals((await view()).prefixes, [{ prefix: "198.51.100.0/24", line: 1 }]);
          assert(OUTSIDE.ipv4.startsWith("203.0.113."));
        });
      });
    } finally {
      Deno.removeSync(file);
    }
  });
}

// Everything that pilus puts on a node goes again, and the node's own network is as it was.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { draftPath } from "../agent/core/whole_file.ts";
import type { LabNode } from "../cli/lab/lab.ts";
import { listAddresses } from "../datapath/net/address.ts";
import { formatCidr } from "../datapath/net/ip.ts";
import { listLinks } from "../datapath/net/link.ts";
import { listNeighbours } from "../datapath/net/neighbour.ts";
import { readSysctl } from "../datapath/net/netns.ts";
import { formatRoute, listRoutes } from "../datapath/net/route.ts";
import { tcp } from "./lab/clients.ts";
import { pilus, withLab } from "./lab/test_lab.ts";

/** The node's network and its directories. */
function networkOf(node: LabNode) {
  return node.netlink((netlink) => ({
    reservedPorts: readSysctl("ipv4/ip_local_reserved_ports", 4096),
    links: listLinks(netlink).map(({ name }) => name).sort(),
    addresses: listAddresses(netlink).filter(({ scope }) => scope !== 253)
      .map(({ ifindex, cidr }) => `${ifindex} ${formatCidr(cidr)}`).sort(),
    routes: listRoutes(netlink).map(formatRoute).sort(),
    neighbours: listNeighbours(netlink).filter(({ permanent }) => permanent).length,
  }));
}

function words(node: LabNode): string[] {
  const { directory } = node;
  return [
    ...pilus(),
    "uninstall",
    ...["--bpffs", `${directory}/bpf/pilus`],
    ...["--state-dir", `${directory}/state`],
    ...["--run-dir", `${directory}/run`],
    ...["--cni-conf-dir", `${directory}/net.d`],
    ...["--cni-bin-dir", `${directory}/bin`],
    ...["--manifests", node.lab.manifests],
    ...["--node-name", node.name],
  ];
}

function uninstall(node: LabNode, ...more: string[]) {
  return node.exec([...words(node), ...more]);
}

/** With a terminal, and these answers. */
function answering(node: LabNode, answers: string) {
  return node.exec(["script", "-qec", words(node).join(" "), "/dev/null"], { input: answers });
}

/** Names below a directory of the node. */
function names(path: string): string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
}

Deno.test("pilus uninstall takes everything off the node, and only that", async (t) => {
  await withLab({ nodes: 2 }, async ({ lab, a, b, pod }) => {
    await a.stopAgent();
    assertEquals((await uninstall(a, "--yes")).code, 0);
    const bare = networkOf(a);
    assert(!bare.links.includes("pilus_vxlan"));
    a.startAgent();
    await a.ready();

    const here = await pod(a, "here"), there = await pod(b, "there");
    assertEquals((await tcp(here, there.ipv4)).ok, true);
    const installed = networkOf(a);
    assert(installed.links.includes(here.hostDevice));

    await t.step("not beside an agent that runs", async () => {
      const { code, stderr } = await uninstall(a, "--yes");
      assertEquals(code, 1);
      assertMatch(stderr, /An agent runs on this node and answers at .*pilus\.sock: end it first/);
      assertEquals(networkOf(a), installed);
    });

    await t.step("--dry-run lists and removes nothing", async () => {
      const { code, stdout } = await uninstall(a, "--dry-run", "-o", "json");
      assertEquals(code, 0);
      const { remove, left } = JSON.parse(stdout) as {
        remove: { kind: string; what: string }[];
        left: { what: string; why: string }[];
      };
      assertEquals(
        [...new Set(remove.map(({ kind }) => kind))],
        ["program", "pod", "device", "route", "address", "sysctl", "map", "file"],
      );
      assertEquals(remove.filter(({ kind }) => kind === "pod").map(({ what }) => what), [
        `${here.hostDevice} (demo/here)`,
      ]);
      assert(left.some(({ what }) => what === "net.ipv4.ip_forward = 1"));
      assertEquals(networkOf(a), installed);
    });

    await a.stopAgent();
    await t.step("not without an answer", async () => {
      const { code, stderr } = await uninstall(a);
      assertEquals(code, 2);
      assertStringIncludes(stderr, "say --yes");
      assertEquals(networkOf(a), installed);
    });

    await t.step("not when the answer is no", async () => {
      const { code, stdout } = await answering(a, "n\n");
      assertEquals(code, 1);
      assertStringIncludes(stdout, "demo/here");
      assertStringIncludes(stdout, "Nothing was removed");
      assertEquals(networkOf(a), installed);
    });

    await t.step("pods keep their devices when the second answer is no", async () => {
      const { code, stdout } = await answering(a, "y\nn\n");
      assertEquals(code, 0);
      assertStringIncludes(stdout, "A pod loses its network. Remove the devices too?");
      assertMatch(stdout, /pods need it, and were to be kept/);
      const { links } = networkOf(a);
      assert(links.includes(here.hostDevice) && !links.includes("pilus_vxlan"));
      assertEquals((await tcp(a, here.ipv4)).ok, true);
    });

    await t.step("all that is ours goes", async () => {
      Deno.mkdirSync(`${a.directory}/state`);
      Deno.writeTextFileSync(`${a.directory}/state/notes`, "of the node's owner");
      for (const file of ["bin/pilus", "net.d/05-pilus.conflist"]) {
        Deno.writeTextFileSync(draftPath(`${a.directory}/${file}`), "half of it");
      }
      const { code, stdout, stderr } = await uninstall(a, "--yes");
      assertEquals([code, stderr], [0, ""]);
      assertMatch(stdout, /^(\d+) of \1 removed\n/);
      assertMatch(stdout, /state\/notes +pilus has not made it/);
      assertEquals(networkOf(a), bare);
      assertEquals(names(`${a.directory}/bpf`).includes("pilus"), false);
      assertEquals(names(`${a.directory}/state`), ["notes"]);
      assertEquals(names(`${a.directory}/net.d`), []);
      assertEquals(names(`${a.directory}/bin`), []);
      assertEquals(names(a.directory).includes("run"), false);
      assertEquals(names(`${lab.manifests}/.pilus/endpoints`), [b.name]);
      const { stdout: attached } = await a.exec(["bpftool", "-j", "net", "show"]);
      assertEquals(JSON.parse(attached)[0].tc, []);
      assert(!(await tcp(a, there.ipv4)).ok);
      assertEquals((await a.exec(["ping", "-c1", "-W2", b.ipv4])).code, 0);
    });

    await t.step("a second time there is nothing", async () => {
      const { code, stdout } = await uninstall(a, "--yes");
      assertEquals([code, stdout], [0, "There is nothing of pilus on this node.\n"]);
      const json = await uninstall(a, "--yes", "-o", "json");
      assertEquals([json.code, JSON.parse(json.stdout).removed], [0, []]);
    });

    a.startAgent();
    await a.ready();
  });
});

// What is attached and configured stays so: each fault is put right, and policy holds again after it.

import { assert, assertEquals } from "@std/assert";
import { type LabHost, type LabPod, OUTSIDE } from "../cli/lab/lab.ts";
import { TUNNEL_DEVICE } from "../agent/node/config.ts";
import { BpfLink } from "../datapath/bpf/mod.ts";
import { libbpf } from "../datapath/ffi/libbpf.ts";
import { hookPin } from "../datapath/held_attachment.ts";
import { listAddresses } from "../datapath/net/address.ts";
import { formatIp } from "../datapath/net/ip.ts";
import { createVeth, deleteLink, findLink, getLink, setLink } from "../datapath/net/link.ts";
import { formatMac } from "../datapath/net/mac.ts";
import { openNamespace } from "../datapath/net/netns.ts";
import { umount } from "../datapath/ffi/libc.ts";
import { ping, settle, tcp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

/** The lab's router, on its wire. */
const GATEWAY = { ipv4: "192.168.60.254", ipv6: "fd00:60::fe" };

const DENY_GUEST = JSON.stringify({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "web", namespace: "demo" },
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    policyTypes: ["Ingress"],
    ingress: [{ from: [{ podSelector: { matchLabels: { app: "client" } } }] }],
  },
});

async function run(host: LabHost, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await host.exec(words);
  assertEquals(code, 0, `${words.join(" ")}: ${stderr}`);
  return stdout;
}

/** What `bpftool link detach` does: the links stay pinned and are attached to nothing. */
function detachLinks(directory: string, device: string): void {
  for (const hook of ["ingress", "egress"]) {
    using link = BpfLink.openPinned(hookPin(directory, device, hook));
    assertEquals(libbpf.bpf_link_detach(link.fd), 0, `${device} ${hook}`);
  }
}

Deno.test("what is detached, deleted or switched off behind the agent's back is put right", async (t) => {
  await withLab({ agentArgs: ["--repair-interval", "1"] }, async (story) => {
    const { lab, a, b, pod, expectDrops } = story;
    expectDrops("Policy denied", "Device is of no endpoint", "Endpoint not ready");
    expectDrops("No route to the address", "Not routable", "No neighbour");
    const web = await pod(a, "web");
    const near = await pod(a, "near", { labels: { app: "client" } });
    const far = await pod(b, "far", { labels: { app: "client" } });
    const guest = await pod(a, "guest"), stranger = await pod(b, "stranger");
    lab.apply("policy", DENY_GUEST);
    const reach = async (from: LabPod, ok: boolean) => {
      const result = await settle(() => tcp(from, web.ipv4), (r) => (r.ok ?? false) === ok, 15_000);
      assertEquals(result.ok ?? false, ok, `${from.podName}: ${result.error ?? "ok"}`);
    };
    const asDesired = async () => {
      for (const from of [guest, stranger]) await reach(from, false);
      for (const from of [near, far]) await reach(from, true);
      const { ok, reason } = (await settle(() => a.status(), ({ health }) => health.ok)).health;
      assert(ok, reason);
    };
    await asDesired();
    const repairs = async (name: string) =>
      (await a.status()).reconcilers.find((row) => row.name === name)!.repairs;
    /** Makes the fault, waits until the reconciler has counted a repair, and looks at everything. */
    const fault = (name: string, reconciler: string, make: () => Promise<unknown> | unknown) =>
      t.step(name, async () => {
        const before = await repairs(reconciler);
        await make();
        const after = await settle(() => repairs(reconciler), (count) => count > before, 10_000);
        assert(after > before, `${reconciler} has repaired nothing`);
        await asDesired();
      });

    const links = `${a.directory}/bpf/pilus/links`;
    await fault("links of a pod detached", "attachments", () => detachLinks(links, web.hostDevice));
    await fault("links of the tunnel detached", "attachments", () => detachLinks(links, "tunnel"));
    await fault("links of the sockets detached", "attachments", () => {
      using link = BpfLink.openPinned(`${links}/socket-connect4`);
      assertEquals(libbpf.bpf_link_detach(link.fd), 0);
    });
    await fault("pins removed", "attachments", () => {
      for (const { name } of Deno.readDirSync(links)) Deno.removeSync(`${links}/${name}`);
    });
    await fault("bpffs unmounted", "map-pins", () => umount(`${a.directory}/bpf`, 2));
    await fault(
      "the tunnel device deleted",
      "tunnel",
      () => run(a, "ip", "link", "del", TUNNEL_DEVICE),
    );
    await fault(
      "the tunnel device down",
      "tunnel",
      () => run(a, "ip", "link", "set", TUNNEL_DEVICE, "down"),
    );
    await fault(
      "ip_forward off",
      "sysctls",
      () => run(a, "sysctl", "-qw", "net.ipv4.ip_forward=0"),
    );
    await fault(
      "IPv6 forwarding off",
      "sysctls",
      () => run(a, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=0"),
    );
    await fault("the router address removed", "router-addresses", async () => {
      const [address] = a.netlink((netlink) => listAddresses(netlink)).filter(({ cidr }) =>
        web.ipv4.startsWith(formatIp(cidr.address).replace(/\.1$/, "."))
      );
      await run(a, "ip", "addr", "del", `${formatIp(address!.cidr.address)}/32`, "dev", "lo");
    });

    await t.step("the node's device made anew under its name", async () => {
      const device = () => a.netlink((netlink) => findLink(netlink, "eth0"));
      const before = device()!;
      using namespace = openNamespace(a.netns);
      lab.wire.netlink((netlink) => {
        deleteLink(netlink, a.name);
        createVeth(netlink, {
          name: a.name,
          mtu: 1500,
          peer: { name: "eth0", netns: namespace.fd },
        });
        setLink(netlink, a.name, { master: getLink(netlink, "wire").ifindex, up: true });
      });
      // bonds and VLANs that are made anew keep their MAC; others' neighbour tables still have it
      await run(a, "ip", "link", "set", "eth0", "address", formatMac(before.mac), "up");
      await run(a, "ip", "addr", "add", `${a.ipv4}/24`, "dev", "eth0");
      await run(a, "ip", "addr", "add", `${a.ipv6}/64`, "dev", "eth0", "nodad");
      await run(a, "ip", "route", "add", "default", "via", GATEWAY.ipv4);
      await run(a, "ip", "route", "add", "default", "via", GATEWAY.ipv6);
      const { ifindex } = device()!;
      assert(ifindex !== before.ifindex);
      const { devices } = await settle(
        () => a.status(),
        ({ devices, health }) => devices[0]?.ifindex === ifindex && health.ok,
      );
      assertEquals(devices.map((row) => row.ifindex), [ifindex]);
      await asDesired();
      assertEquals((await ping(web, OUTSIDE.ipv4)).code, 0, "masqueraded");
    });

    await t.step("a pod's veth deleted", async () => {
      const before = a.netlink((netlink) => getLink(netlink, web.hostDevice)).ifindex;
      await run(a, "ip", "link", "del", web.hostDevice);
      await settle(
        () => a.netlink((netlink) => findLink(netlink, web.hostDevice)?.ifindex),
        (ifindex) => ifindex !== undefined && ifindex !== before,
      );
      await asDesired();
      assertEquals((await ping(near, web.ipv6)).code, 0);
    });

    await t.step("an agent that comes back finds its pins", async () => {
      await a.stopAgent("SIGKILL");
      a.startAgent();
      await a.ready();
      await asDesired();
    });
  });
});

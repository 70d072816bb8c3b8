// What is attached and configured stays so: each fault is put right, and policy holds again after it.

import { assert, assertEquals } from "@std/assert";
import { type LabNode, type LabPod, OUTSIDE } from "../cli/lab/lab.ts";
import { AttachType, programsAt } from "../datapath/bpf/mod.ts";
import { FileDescriptor } from "../datapath/bpf/ffi/libc.ts";
import { findLink, getLink } from "../datapath/net/link.ts";
import { inNamespace, openNamespace } from "../datapath/net/netns.ts";
import { ping, settle, tcp } from "./lab/clients.ts";
import * as faults from "./lab/faults.ts";
import { withLab } from "./lab/test_lab.ts";

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
    const fault = (name: string, reconciler: string, make: () => Promise<void> | void) =>
      t.step(name, async () => {
        const before = await repairs(reconciler), begin = Date.now();
        await make();
        const after = await settle(() => repairs(reconciler), (count) => count > before, 10_000);
        assert(after > before, `${reconciler} has repaired nothing`);
        // what hangs on it, as routes on the tunnel, may come a moment later
        const { health, lapses } = await settle(
          () => a.status(),
          ({ health, lapses }) =>
            health.ok &&
            lapses.some((row) =>
              row.reconciler === reconciler && Date.parse(row.until ?? "") >= begin
            ),
        );
        assert(health.ok, health.reason);
        assert(lapses.some((row) => row.reconciler === reconciler), "no lapse is listed");
        await asDesired();
      });

    const socketPin = (pin: string) => pin === "socket-connect4";
    const table: [name: string, reconciler: string, make: () => Promise<void> | void][] = [
      ["links of a pod detached", "attachments", () => faults.detachDevice(a, web.hostDevice)],
      ["links of the tunnel detached", "attachments", () => faults.detachDevice(a, "tunnel")],
      ["links of the sockets detached", "attachments", () => faults.detachLinks(a, socketPin)],
      ["pins removed", "attachments", () => faults.removePins(a)],
      ["bpffs unmounted", "map-pins", () => faults.unmountBpffs(a)],
      ["the tunnel device deleted", "tunnel", () => faults.deleteTunnel(a)],
      ["the tunnel device down", "tunnel", () => faults.downTunnel(a)],
      ["ip_forward off", "sysctls", () => faults.clearSysctl(a, "ipv4.ip_forward")],
      ["IPv6 forwarding off", "sysctls", () => faults.clearSysctl(a, "ipv6.conf.all.forwarding")],
      ["the router address removed", "router-addresses", () => faults.removeRouterAddress(a, 4)],
    ];
    for (const [name, reconciler, make] of table) await fault(name, reconciler, make);

    await t.step("the node's device made anew under its name", async () => {
      const device = () => a.netlink((netlink) => findLink(netlink, "eth0"));
      const before = device()!;
      await faults.renewDevice(lab, a);
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
      await faults.deletePodDevice(a, web);
      await settle(
        () => a.netlink((netlink) => findLink(netlink, web.hostDevice)?.ifindex),
        (ifindex) => ifindex !== undefined && ifindex !== before,
      );
      await asDesired();
      assertEquals((await ping(near, web.ipv6)).code, 0);
    });

    await t.step("a pod's own end down and up", async () => {
      const network = async () =>
        (await web.exec(["sh", "-c", "ip route; ip -6 route; ip addr show eth0; ip neigh"])).stdout
          .split("\n").filter((line) => /PERMANENT|inet|via|proto/.test(line)).sort();
      const before = await network();
      await web.exec(["sh", "-c", "ip link set eth0 down; ip link set eth0 up"]);
      await asDesired();
      assertEquals(await settle(network, (lines) => lines.length === before.length), before);
      assertEquals((await ping(web, OUTSIDE.ipv4)).code, 0);
    });

    await t.step("the node's end of a pod's device down", async () => {
      await a.exec(["ip", "link", "set", web.hostDevice, "down"]);
      await asDesired();
      assertEquals((await ping(near, web.ipv6)).code, 0);
    });

    const away: [name: string, meanwhile: () => void, changed: boolean][] = [
      ["finds its pins", () => {}, false],
      ["mounts its bpffs, unmounted meanwhile", () => faults.unmountBpffs(a), true],
      ["attaches what was detached", () => faults.detachDevice(a, web.hostDevice), true],
      ["attaches what the sockets lost", () => faults.detachLinks(a, socketPin), true],
    ];
    for (const [name, meanwhile, changed] of away) {
      await t.step(`an agent that comes back ${name}`, async () => {
        await a.stopAgent("SIGKILL");
        const before = Date.now();
        meanwhile();
        a.startAgent();
        await a.ready();
        await asDesired();
        // what was open while nobody could report it is reported afterwards
        const { lapses } = await a.status();
        const lapse = lapses.find(({ reconciler }) => reconciler === "attachments");
        assertEquals(lapse !== undefined, changed);
        if (!lapse) return;
        assert(Date.parse(lapse.since) <= before && before <= Date.parse(lapse.until!));
      });
    }

    await t.step(
      "an agent that comes back is alone where a lost bpffs keeps programs",
      async () => {
        // a container's mounts are copies: what is unmounted here goes on there
        const container = new Deno.Command("unshare", { args: ["-m", "sleep", "60"] }).spawn();
        try {
          await settle(
            () => Deno.readLinkSync(`/proc/${container.pid}/ns/mnt`),
            (namespace) => namespace !== Deno.readLinkSync("/proc/self/ns/mnt"),
          );
          await a.stopAgent("SIGKILL");
          faults.unmountBpffs(a);
          a.startAgent();
          await a.ready();
          await asDesired();
          // what holds is what is wanted now
          lab.apply("policy", DENY_GUEST.replace('{"app":"client"}', "{}"));
          for (const from of [guest, near, far]) await reach(from, true);
          lab.apply("policy", DENY_GUEST);
          await asDesired();
          assertEquals(tcxPrograms(a, web.hostDevice), { ingress: 1, egress: 1 });
          assertEquals(tcxPrograms(a, "eth0"), { ingress: 1, egress: 1 });
          using cgroup = FileDescriptor.open(a.cgroup);
          assertEquals(programsAt(cgroup.fd, AttachType.CGROUP_INET4_CONNECT).length, 1);
        } finally {
          container.kill("SIGKILL");
          await container.status;
        }
      },
    );
  });
});

/** How many programs a device has. */
function tcxPrograms(node: LabNode, device: string): { ingress: number; egress: number } {
  const { ifindex } = node.netlink((netlink) => getLink(netlink, device));
  using namespace = openNamespace(node.netns);
  return inNamespace(namespace.fd, () => ({
    ingress: programsAt(ifindex, AttachType.TCX_INGRESS).length,
    egress: programsAt(ifindex, AttachType.TCX_EGRESS).length,
  }));
}

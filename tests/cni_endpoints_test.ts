// Endpoints through the CNI plugin: what stays and what goes when things fail, are lost or come late.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { deleteQueueDirectory } from "../agent/api/types.ts";
import { openDatabase } from "../agent/core/database.ts";
import { drainDeleteQueue } from "../agent/node/endpoints/delete_queue.ts";
import { umount } from "../datapath/bpf/ffi/libc.ts";
import { deleteLink, listLinks, setLink } from "../datapath/net/link.ts";
import { NetlinkSocket } from "../datapath/net/netlink.ts";
import { openNamespace } from "../datapath/net/netns.ts";
import { deleteRoute, listRoutes } from "../datapath/net/route.ts";
import { CniNode, ping, ROUTER_ADDRESSES } from "./lab/cni_node.ts";

Deno.test("a default route that a pod has from another plugin stays", async () => {
  await using node = await new CniNode().start();
  const netns = node.pod("other");
  const inPod = async (script: string) => {
    const args = [`--net=${netns}`, "sh", "-ec", script];
    const { stdout } = await new Deno.Command("nsenter", { args, stdout: "piped" }).output();
    return new TextDecoder().decode(stdout);
  };
  await inPod(`ip link add first type veth peer name other
    ip link set other up; ip link set first up
    ip address add 192.0.2.1/24 dev first; ip route add default via 192.0.2.254`);
  const added = await node.cni("ADD", "other", { env: { CNI_IFNAME: "net1" } });
  assertEquals(added.code, 0, JSON.stringify(added.json));
  assertMatch(await inPod("ip route show default"), /^default via 192\.0\.2\.254 dev first *\n$/);
  assertMatch(await inPod("ip -6 route show default"), /dev net1/);
  assertEquals((await node.cni("DEL", "other", { env: { CNI_IFNAME: "net1" } })).code, 0);
  assertMatch(await inPod("ip route show default"), /dev first/);
});

Deno.test("CNI DEL without agent is queued and done when it is back; live pods are restored, with new devices where theirs were deleted", async () => {
  await using node = await new CniNode().start();
  for (const name of ["stays", "goes", "lost", "dead"]) {
    node.pod(name);
    assertEquals((await node.cni("ADD", name)).code, 0);
  }
  const before = node.manager.table.get("container-stays/eth0")!;
  const lost = node.manager.table.get("container-lost/eth0")!;
  await node.stop();
  const down = await node.cni("ADD", "stays");
  assertEquals(down.json.code, 50);
  assertEquals((await node.cni("DEL", "goes")).code, 0);
  deleteLink(node.netlink, lost.hostIfname);
  umount(node.pods.pop()!, 2);
  node.datapath.ids.clear();

  await node.start();
  const report = await drainDeleteQueue(node.stateDir, (...args) => node.manager.delete(...args));
  assertEquals(report, { deleted: ["container-goes/eth0"], failed: [] });
  assertEquals([...Deno.readDirSync(deleteQueueDirectory(node.stateDir))], []);
  const revived = node.manager.table.get("container-lost/eth0")!;
  assert(revived.hostIfindex !== lost.hostIfindex);
  assertEquals(node.manager.table.rows(), [
    before,
    { ...lost, hostIfindex: revived.hostIfindex },
  ]);
  assertEquals([...node.datapath.ids].sort(), [before.id, lost.id]);
  assertEquals(node.manager.usage().map((u) => u.used), [2, 2]);
  for (const pod of [node.pods[0]!, node.pods[2]!]) assert(await ping(pod, ROUTER_ADDRESSES[0]!));
});

Deno.test("EndpointManager rolls back when the programs refuse, and repairs routes that are lost", async () => {
  await using node = await new CniNode().start();
  node.pod("a");
  node.datapath.refusal = new Error("no programs today");
  const refused = await node.cni("ADD", "a");
  assertEquals(refused.json.code, 100);
  assertMatch(refused.json.msg, /no programs today/);
  assertEquals(node.leftovers(), []);
  assertEquals(node.manager.usage().map((u) => u.used), [0, 0]);

  node.datapath.refusal = undefined;
  assertEquals((await node.cni("ADD", "a")).code, 0);
  const [route] = listRoutes(node.netlink);
  deleteRoute(node.netlink, { destination: route!.destination, ifindex: route!.ifindex! });
  const a = "container-a/eth0";
  assertEquals([node.manager.repair([]), node.manager.repair([a]), node.manager.repair()], [
    0,
    1,
    0,
  ]);
  // of many endpoints all are looked at together
  for (const name of ["b", "c", "d", "e"]) {
    node.pod(name);
    assertEquals((await node.cni("ADD", name)).code, 0);
  }
  deleteRoute(node.netlink, { destination: route!.destination, ifindex: route!.ifindex! });
  assertEquals([node.manager.repair(), node.manager.repair([a])], [1, 0]);
  deleteLink(node.netlink, node.manager.table.get("container-c/eth0")!.hostIfname);
  assertEquals(node.manager.lost(), ["container-c/eth0"]);
  assertEquals([node.manager.repair(), node.manager.repair(["container-c/eth0"])], [0, 0]);
  assertEquals([await node.manager.rebuild("container-c/eth0"), node.manager.lost()], [true, []]);
  const prevResult = { cniVersion: "1.1.0" };
  using pod = openNamespace(node.pods[0]!);
  using inside = NetlinkSocket.open({ netns: pod.fd });
  setLink(inside, "eth0", { up: false });
  const sick = await node.cni("CHECK", "a", { config: node.config({ prevResult }) });
  assertEquals(sick.json.code, 101);
  assertMatch(sick.json.msg, /link eth0 of the pod is down/);
});

Deno.test("an agent whose state is lost or spoilt keeps the pods that live", async (t) => {
  await using node = await new CniNode().start();
  for (const name of ["a", "b"]) {
    node.pod(name);
    assertEquals((await node.cni("ADD", name)).code, 0);
  }
  const shown = () => node.manager.table.rows().map(({ reason: _, ...endpoint }) => endpoint);
  const devices = () =>
    listLinks(node.netlink).map(({ name, ifindex }) => `${name} ${ifindex}`).sort();
  const before = shown(), links = devices();
  const rows = (change: string) => () => {
    const database = openDatabase(`${node.stateDir}/pilus.db`);
    database.exec(change);
    database.close();
  };
  const file = (text: string) => () => Deno.writeTextFileSync(`${node.stateDir}/pilus.db`, text);
  const losses: [string, () => void][] = [
    ["the state directory is gone", () => Deno.removeSync(node.stateDir, { recursive: true })],
    ["the database is empty", file("")],
    ["the database is none", file("nonsense".repeat(1000))],
    ["rows are gone", rows("DELETE FROM endpoints; DELETE FROM addresses")],
    ["rows are nonsense", rows("UPDATE endpoints SET endpoint = '{nonsense'")],
    ["rows are empty", rows("UPDATE endpoints SET endpoint = '{}'")],
    [
      "rows have one address",
      rows("UPDATE endpoints SET endpoint = json_set(endpoint, '$.ipv4', '10.11.0.9')"),
    ],
    [
      "rows name a device of the node",
      rows("UPDATE endpoints SET endpoint = json_set(endpoint, '$.hostIfname', 'eth0')"),
    ],
  ];
  for (const [name, lose] of losses) {
    await t.step(name, async () => {
      await node.stop();
      lose();
      await node.start();
      assertEquals(shown(), before);
      assertEquals(devices(), links);
      // and the addresses are theirs still
      node.pod(name.replaceAll(" ", "-"));
      const added = await node.cni("ADD", name.replaceAll(" ", "-"));
      assertEquals(added.code, 0);
      const address = added.json.ips[0].address.split("/")[0];
      assert(before.every(({ ipv4 }) => ipv4 !== address));
      assertEquals((await node.cni("DEL", name.replaceAll(" ", "-"))).code, 0);
    });
  }

  await t.step("the run directory is gone too: the agent refuses and changes nothing", async () => {
    await node.stop();
    const away = (path: string) =>
      Deno.renameSync(`${node.directory}/${path}`, `${node.directory}/.${path}`);
    away("state");
    away("run");
    await assertRejects(() => node.start(), Error, "Cannot take over 2 pods of this node");
    assertEquals(devices(), links);
    node.database.close();
    Deno.removeSync(`${node.directory}/state`, { recursive: true });
    for (const path of ["state", "run"]) {
      Deno.renameSync(`${node.directory}/.${path}`, `${node.directory}/${path}`);
    }
    await node.start();
    assertEquals(shown(), before);
  });
});

Deno.test("a queued CNI DEL counts whatever the clock says, and not for what is added after it", async () => {
  await using node = await new CniNode().start();
  for (const name of ["a", "b"]) {
    node.pod(name);
    assertEquals((await node.cni("ADD", name)).code, 0);
  }
  await node.stop();
  for (const name of ["a", "b"]) assertEquals((await node.cni("DEL", name)).code, 0);
  // as if the clock had been set back since
  const database = openDatabase(`${node.stateDir}/pilus.db`);
  database.exec("UPDATE endpoints SET endpoint = json_set(endpoint, '$.createdAt', '2100-01-01')");
  database.close();
  await node.start();
  assertEquals((await node.cni("ADD", "b")).code, 0);
  const { deleted } = await drainDeleteQueue(
    node.stateDir,
    (...endpoint) => node.manager.delete(...endpoint),
  );
  assertEquals(deleted, ["container-a/eth0"]);
  assertEquals(node.manager.table.rows().map(({ pod }) => pod), ["b"]);
});

Deno.test("CNI ADD on an exhausted pod range says so and asks to try later", async () => {
  await using node = await new CniNode({ podCidrs: ["10.11.0.0/30"] }).start();
  node.pod("a");
  node.pod("b");
  assertEquals((await node.cni("ADD", "a")).code, 0);
  const full = await node.cni("ADD", "b");
  assertEquals(full.json.code, 11);
  assertMatch(
    full.json.msg,
    /Pod range 10\.11\.0\.0\/30 is exhausted: 1 of 1 addresses are in use/,
  );
});

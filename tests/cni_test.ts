// The CNI plugin as a real process against an endpoint manager in this one: what a runtime sees.
// The programs are not there; the namespaces, devices, routes and packets are.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { fromFileUrl } from "@std/path";
import type { DatabaseSync } from "node:sqlite";
import { endpointRoutes } from "../agent/node/endpoints/endpoint_routes.ts";
import { type ApiServer, serveApi } from "../agent/api/server.ts";
import { deleteQueueDirectory } from "../agent/api/types.ts";
import { drainDeleteQueue } from "../agent/node/endpoints/delete_queue.ts";
import type { Endpoint } from "../agent/api/endpoint.ts";
import { EndpointManager } from "../agent/node/endpoints/endpoint_manager.ts";
import type { EndpointDatapath } from "../agent/node/endpoints/endpoint_request.ts";
import { openDatabase } from "../agent/node/database.ts";
import { umount } from "../datapath/ffi/libc.ts";
import { deleteLink, listLinks, setLink } from "../datapath/net/link.ts";
import { listNeighbours } from "../datapath/net/neighbour.ts";
import { NetlinkSocket } from "../datapath/net/netlink.ts";
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  openNamespace,
  writeSysctls,
} from "../datapath/net/netns.ts";
import { deleteRoute, listRoutes } from "../datapath/net/route.ts";

const MAIN = fromFileUrl(new URL("../main.ts", import.meta.url));
const ROUTER_ADDRESSES = ["10.11.0.1", "fd11::1"];

/** Counts what it is asked to do. */
class Attached implements EndpointDatapath {
  readonly ids = new Set<number>();
  /** Devices that are served, as pinned programs would go on to. */
  readonly devices = new Set<number>();
  refusal: Error | undefined;

  attach({ id, hostIfindex }: Endpoint): Promise<void> {
    if (this.refusal) return Promise.reject(this.refusal);
    this.ids.add(id);
    this.devices.add(hostIfindex);
    return Promise.resolve();
  }

  detach({ id, hostIfindex }: Endpoint): Promise<void> {
    this.ids.delete(id);
    this.devices.delete(hostIfindex);
    return Promise.resolve();
  }

  serves(ifindex: number): boolean {
    return this.devices.has(ifindex);
  }
}

interface CniAnswer {
  code: number;
  // deno-lint-ignore no-explicit-any
  json: any;
  milliseconds: number;
}

/** A node in a namespace of its own: manager and API here, plugin and pods as a runtime has them. */
class Node implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "pilus-cni-" });
  readonly netns = `${this.directory}/node`;
  readonly socket = `${this.directory}/run/pilus.sock`;
  readonly stateDir = `${this.directory}/state`;
  readonly datapath = new Attached();
  readonly pods: string[] = [];
  readonly netlink: NetlinkSocket;
  readonly podCidrs: string[];
  database!: DatabaseSync;
  manager!: EndpointManager;
  server: ApiServer | undefined;

  constructor(podCidrs = ["10.11.0.0/24", "fd11::/64"]) {
    this.podCidrs = podCidrs;
    createNamespace(this.netns);
    using namespace = openNamespace(this.netns);
    this.netlink = NetlinkSocket.open({ netns: namespace.fd });
    inNamespace(
      namespace.fd,
      () => writeSysctls([["ipv4/ip_forward", "1"], ["ipv6/conf/all/forwarding", "1"]]),
    );
  }

  async start(): Promise<this> {
    this.database = openDatabase(this.stateDir);
    this.manager = new EndpointManager({
      database: this.database,
      runDirectory: `${this.directory}/run`,
      podCidrs: this.podCidrs,
      clusterCidrs: ["10.0.0.0/8", "fd00::/8"],
      mtu: 1500,
      clusterMtu: 1450,
      datapath: this.datapath,
      netns: this.netns,
    });
    await this.manager.restore();
    this.server = await serveApi({
      socket: this.socket,
      routes: {
        ...endpointRoutes(this.manager, this.stateDir),
        "GET /v1/health": () => ({ ok: true }),
      },
    });
    return this;
  }

  async stop(): Promise<void> {
    await this.server?.[Symbol.asyncDispose]();
    this.server = undefined;
    this.manager[Symbol.dispose]();
    this.database.close();
  }

  pod(name: string): string {
    const path = `${this.directory}/pod-${name}`;
    createNamespace(path);
    this.pods.push(path);
    return path;
  }

  config(more: Record<string, unknown> = {}): Record<string, unknown> {
    const { socket, stateDir } = this;
    return { cniVersion: "1.1.0", name: "pilus", type: "pilus", socket, stateDir, ...more };
  }

  /** Runs the plugin as a process. */
  async cni(
    command: string,
    name: string,
    { config = this.config(), env = {} }: {
      config?: unknown;
      env?: Record<string, string>;
    } = {},
  ): Promise<CniAnswer> {
    const begin = performance.now();
    await using child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check", MAIN],
      env: {
        NO_COLOR: "1",
        CNI_COMMAND: command,
        CNI_CONTAINERID: `container-${name}`,
        CNI_NETNS: `${this.directory}/pod-${name}`,
        CNI_IFNAME: "eth0",
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=${name}`,
        CNI_PATH: "/nowhere",
        ...env,
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    const text = typeof config === "string" ? config : JSON.stringify(config);
    await writer.write(new TextEncoder().encode(text)).catch(() => {});
    await writer.close().catch(() => {});
    const { code, stdout, stderr } = await child.output();
    const out = new TextDecoder().decode(stdout);
    assertEquals(new TextDecoder().decode(stderr), "");
    return {
      code,
      json: out === "" ? undefined : JSON.parse(out),
      milliseconds: performance.now() - begin,
    };
  }

  /** What is left of pods on the node, in words. */
  leftovers(): string[] {
    const links = listLinks(this.netlink).map((l) => l.name).filter((name) => name !== "lo");
    const routes = listRoutes(this.netlink).map((r) => `route ${r.destination.address}`);
    const neighbours = listNeighbours(this.netlink).map((n) => `neighbour ${n.ip}`);
    return [...links, ...routes, ...neighbours];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.server) await this.stop();
    this.netlink[Symbol.dispose]();
    for (const path of [...this.pods, this.netns]) deleteNamespace(path);
    Deno.removeSync(this.directory, { recursive: true });
  }
}

async function ping(netns: string, address: string): Promise<boolean> {
  const { success } = await new Deno.Command("nsenter", {
    args: [`--net=${netns}`, "ping", "-n", "-c1", "-W2", address],
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

/** `count` numbers, `width` at a time. */
async function inParallel(
  count: number,
  width: number,
  work: (n: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

Deno.test("CNI adds 20 pods 4 at a time, which talk with the host, and leaves nothing behind", async () => {
  await using node = await new Node().start();
  const added: CniAnswer[] = [];
  await inParallel(20, 4, async (n) => {
    node.pod(`${n}`);
    added[n] = await node.cni("ADD", `${n}`);
    assertEquals(added[n]!.code, 0, JSON.stringify(added[n]!.json));
  });
  const addresses = added.flatMap(({ json }) =>
    json.ips.map((ip: { address: string }) => ip.address)
  );
  assertEquals(new Set(addresses).size, 40);
  assertEquals(node.manager.table.size, 20);
  assertEquals(node.datapath.ids.size, 20);
  assertEquals(new Set(node.manager.table.rows().map((e) => e.pod)).size, 20);

  await inParallel(20, 4, async (n) => {
    for (const router of ROUTER_ADDRESSES) {
      assert(await ping(node.pods[n]!, router), `pod ${n} to host at ${router}`);
    }
    for (const { address } of added[n]!.json.ips) {
      assert(await ping(node.netns, address.split("/")[0]), `host to pod ${n} at ${address}`);
    }
    const checked = await node.cni("CHECK", `${n}`, {
      config: node.config({ prevResult: added[n]!.json }),
    });
    assertEquals([checked.code, checked.json], [0, undefined]);
  });
  assert(await ping(node.pods[0]!, addresses.at(-1)!.split("/")[0]), "pod to pod");

  await inParallel(20, 4, async (n) => {
    assertEquals((await node.cni("DEL", `${n}`)).code, 0);
  });
  assertEquals(node.leftovers(), []);
  assertEquals([node.manager.table.size, node.datapath.ids.size], [0, 0]);
  assertEquals(node.manager.usage().map((u) => u.used), [0, 0]);
});

Deno.test("CNI ADD and DEL can be repeated, and every version has its result", async () => {
  await using node = await new Node().start();
  node.pod("a");
  const first = await node.cni("ADD", "a");
  const again = await node.cni("ADD", "a");
  assertEquals(again.json, first.json);
  assertEquals(first.json.interfaces[1].mtu, 1500);
  assertEquals(first.json.ips[0], {
    interface: 1,
    address: "10.11.0.2/32",
    gateway: "10.11.0.1",
  });
  const old = await node.cni("ADD", "a", { config: node.config({ cniVersion: "0.3.1" }) });
  assertEquals(old.json.ips.map((ip: { version: string }) => ip.version), ["4", "6"]);
  assertEquals(old.json.interfaces[1].mtu, undefined);
  const versions = await node.cni("VERSION", "a");
  assertEquals(versions.json.supportedVersions.at(-1), "1.1.0");
  for (let i = 0; i < 2; i++) assertEquals((await node.cni("DEL", "a")).code, 0);
  assertEquals((await node.cni("DEL", "never")).code, 0);
});

Deno.test("a default route that a pod has from another plugin stays", async () => {
  await using node = await new Node().start();
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

Deno.test("CNI GC deletes what is not listed, and STATUS follows the agent", async () => {
  await using node = await new Node().start();
  for (const name of ["keep", "drop"]) {
    node.pod(name);
    assertEquals((await node.cni("ADD", name)).code, 0);
  }
  assertEquals((await node.cni("STATUS", "keep")).code, 0);
  const attachments = [{ containerID: "container-keep", ifname: "eth0" }];
  const config = node.config({ "cni.dev/valid-attachments": attachments });
  assertEquals((await node.cni("GC", "keep", { config })).code, 0);
  assertEquals(node.manager.table.rows().map((e) => e.pod), ["keep"]);
  await node.stop();
  const down = await node.cni("STATUS", "keep");
  assertEquals([down.code, down.json.code], [1, 50]);
  assertMatch(
    down.json.msg,
    /^Cannot reach the agent at .*pilus\.sock: .*Start it with `pilus agent`; one that is starting says in its log what it waits for$/,
  );
});

Deno.test("CNI DEL without agent is queued and done when it is back; live pods are restored, with new devices where theirs were deleted", async () => {
  await using node = await new Node().start();
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
  await using node = await new Node().start();
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
  assertEquals([node.manager.repair(), node.manager.repair()], [1, 0]);
  const prevResult = { cniVersion: "1.1.0" };
  using pod = openNamespace(node.pods[0]!);
  using inside = NetlinkSocket.open({ netns: pod.fd });
  setLink(inside, "eth0", { up: false });
  const sick = await node.cni("CHECK", "a", { config: node.config({ prevResult }) });
  assertEquals(sick.json.code, 101);
  assertMatch(sick.json.msg, /link eth0 of the pod is down/);
});

Deno.test("an agent whose state is lost or spoilt keeps the pods that live", async (t) => {
  await using node = await new Node().start();
  for (const name of ["a", "b"]) {
    node.pod(name);
    assertEquals((await node.cni("ADD", name)).code, 0);
  }
  const shown = () => node.manager.table.rows().map(({ reason: _, ...endpoint }) => endpoint);
  const devices = () =>
    listLinks(node.netlink).map(({ name, ifindex }) => `${name} ${ifindex}`).sort();
  const before = shown(), links = devices();
  const rows = (change: string) => () => {
    const database = openDatabase(node.stateDir);
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
  await using node = await new Node().start();
  for (const name of ["a", "b"]) {
    node.pod(name);
    assertEquals((await node.cni("ADD", name)).code, 0);
  }
  await node.stop();
  for (const name of ["a", "b"]) assertEquals((await node.cni("DEL", name)).code, 0);
  // as if the clock had been set back since
  const database = openDatabase(node.stateDir);
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
  await using node = await new Node(["10.11.0.0/30"]).start();
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

Deno.test("CNI refuses wrong input with the specification's code and the reason", async (t) => {
  await using node = await new Node().start();
  node.pod("a");
  await new Deno.Command("mkfifo", { args: [`${node.directory}/fifo`] }).output();
  const cases: [string, number, RegExp, Parameters<Node["cni"]>[2]][] = [
    ["no JSON", 6, /Cannot decode/, { config: "{" }],
    ["an array", 6, /not an object/, { config: "[]" }],
    ["huge input", 6, /more than 1048576 bytes/, { config: " ".repeat(3 << 20) }],
    ["a future version", 1, /Incompatible cniVersion "9.0.0"/, {
      config: node.config({ cniVersion: "9.0.0" }),
    }],
    ["no version", 1, /cniVersion missing/, { config: node.config({ cniVersion: undefined }) }],
    ["a wrong type", 7, /name must be/, { config: node.config({ name: 7 }) }],
    ["a path as name", 7, /name must be/, { config: node.config({ name: "../x" }) }],
    ["a relative socket", 7, /socket must be an absolute path/, {
      config: node.config({ socket: "/run/../x" }),
    }],
    ["ipam", 2, /pilus gives addresses itself/, { config: node.config({ ipam: {} }) }],
    ["a chain", 2, /cannot follow another plugin/, { config: node.config({ prevResult: {} }) }],
    ["no container", 4, /CNI_CONTAINERID is missing/, { env: { CNI_CONTAINERID: "" } }],
    ["a path as container", 4, /CNI_CONTAINERID is invalid/, { env: { CNI_CONTAINERID: "../x" } }],
    ["a path as device", 4, /CNI_IFNAME is invalid/, { env: { CNI_IFNAME: "a/b" } }],
    ["a long device name", 4, /CNI_IFNAME is invalid/, { env: { CNI_IFNAME: "x".repeat(16) } }],
    ["a relative namespace", 4, /CNI_NETNS is invalid/, { env: { CNI_NETNS: "x" } }],
    ["a missing namespace", 4, /ENOENT/, { env: { CNI_NETNS: "/run/netns/no-such" } }],
    ["a file as namespace", 4, /EINVAL/, { env: { CNI_NETNS: "/etc/hostname" } }],
    ["the node's namespace", 4, /the node's own/, { env: { CNI_NETNS: node.netns } }],
    ["a FIFO as namespace", 4, /it is no namespace/, {
      env: { CNI_NETNS: `${node.directory}/fifo` },
    }],
    ["another namespace", 4, /EINVAL/, { env: { CNI_NETNS: "/proc/self/ns/uts" } }],
    ["a path as pod", 7, /no name of a pod/, {
      env: { CNI_ARGS: "K8S_POD_NAMESPACE=demo;K8S_POD_NAME=../../x" },
    }],
    ["a path as Kubernetes namespace", 7, /no name of a namespace/, {
      env: { CNI_ARGS: "K8S_POD_NAMESPACE=../..;K8S_POD_NAME=x" },
    }],
    ["a device that is there", 100, /EEXIST/, { env: { CNI_IFNAME: "lo" } }],
    ["malformed arguments", 4, /CNI_ARGS is invalid/, { env: { CNI_ARGS: "=x" } }],
    ["an address", 4, /pilus gives addresses itself/, { env: { CNI_ARGS: "IP=10.60.1.77" } }],
  ];
  for (const [name, code, message, options] of cases) {
    await t.step(name, async () => {
      const answer = await node.cni("ADD", "a", options);
      assertEquals([answer.code, answer.json.code], [1, code], JSON.stringify(answer.json));
      assertMatch(answer.json.msg, message);
    });
  }
  await t.step("a second interface of one pod", async () => {
    assertEquals((await node.cni("ADD", "a")).code, 0);
    const second = await node.cni("ADD", "a", { env: { CNI_IFNAME: "net1" } });
    assertEquals([second.code, second.json.code], [1, 7], JSON.stringify(second.json));
    assertMatch(second.json.msg, /has eth0 of demo\/a from pilus already/);
    assertEquals((await node.cni("DEL", "a")).code, 0);
  });
  const unknown = await node.cni("DANCE", "a");
  assertEquals(unknown.json.code, 4);
  assertEquals(node.leftovers(), []);
});

Deno.test("cnitool drives add, check, del, gc and status", async () => {
  const cache = Deno.env.get("BUILD_CACHE") ?? `${Deno.env.get("HOME")}/.cache/pilus`;
  const tool = `${cache}/bin/cnitool`;
  await using node = await new Node().start();
  const bin = `${node.directory}/bin`, conf = `${node.directory}/net.d`;
  Deno.mkdirSync(bin);
  Deno.mkdirSync(conf);
  const run = `exec ${Deno.execPath()} run -A --quiet --no-check ${MAIN}`;
  Deno.writeTextFileSync(`${bin}/pilus`, `#!/bin/sh\n${run}\n`, { mode: 0o755 });
  const { socket, stateDir } = node;
  Deno.writeTextFileSync(
    `${conf}/05-pilus.conflist`,
    JSON.stringify({
      cniVersion: "1.1.0",
      name: "pilus",
      plugins: [{ type: "pilus", socket, stateDir }],
    }),
  );
  const cnitool = async (verb: string, netns: string) => {
    const { code, stdout, stderr } = await new Deno.Command(tool, {
      args: [verb, "pilus", netns],
      env: { CNI_PATH: bin, NETCONFPATH: conf, NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder();
    assertEquals(code, 0, `${verb}: ${text.decode(stdout)}${text.decode(stderr)}`);
  };
  const [a, b] = [node.pod("a"), node.pod("b")];
  await cnitool("status", a);
  for (const pod of [a, b]) {
    await cnitool("add", pod);
    await cnitool("check", pod);
    assert(await ping(pod, ROUTER_ADDRESSES[0]!));
  }
  await cnitool("del", a);
  assertEquals(node.manager.table.size, 1);
  // It gives no list of valid attachments: its library then asks for DEL of each one it has cached.
  await cnitool("gc", b);
  assertEquals(node.leftovers(), []);
});

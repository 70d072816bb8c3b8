import { assertEquals } from "@std/assert";
import { formatIp, parseIp } from "../../../datapath/net/ip.ts";
import type { SocketPeer } from "../../../datapath/net/sock_diag.ts";
import { SocketHost } from "../../../datapath/testdata/socket_host.ts";
import { settled } from "../../core/schedule.ts";
import { Table } from "../../core/table.ts";
import { type Backend, type BackendList, packBackends } from "./backend.ts";
import { StaleSockets } from "./stale_sockets.ts";

interface Row {
  name: string;
  protocol: string;
  backends: BackendList;
}

function tables() {
  return {
    frontends: new Table<Row>({ name: "frontends", key: ({ name }) => name }),
    pods: new Table<string>({ name: "pods", key: (ip) => ip }),
  };
}

const backend = (ip: string, pod: string | undefined = `demo/${ip}`): Backend => ({
  address: parseIp(ip),
  port: 8080,
  state: "active",
  weight: 1,
  local: false,
  ...(pod ? { pod } : {}),
});

const row = (name: string, ...backends: Backend[]): Row => ({
  name,
  protocol: "TCP",
  backends: packBackends(backends),
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The addresses whose sockets were destroyed, in order. */
function watch(
  { frontends, pods }: ReturnType<typeof tables>,
  namespaces: string[] = [],
  before: SocketPeer[] = [],
) {
  const gone: string[] = [];
  let sockets = 0;
  const stale = new StaleSockets({
    frontends,
    before,
    pods: [pods],
    lives: (ip) => pods.has(ip),
    namespaces: () => namespaces,
    onError: (error) => {
      throw error;
    },
    onDestroyed: (peers: readonly SocketPeer[], count) => {
      gone.push(...peers.map(({ address }) => formatIp(address)));
      sockets += count;
    },
    againMs: 100,
  });
  return { stale, gone, sockets: () => sockets };
}

Deno.test("StaleSockets destroys sockets of a backend when it is in no service and its pod is gone", async () => {
  const given = tables();
  const { frontends, pods } = given;
  for (const ip of ["10.1.0.1", "10.1.0.2", "10.1.0.3"]) pods.set(ip);
  frontends.set(row("a", backend("10.1.0.1"), backend("10.1.0.2")));
  frontends.set(row("b", backend("10.1.0.1")));
  const { stale, gone } = watch(given);
  await using _stale = stale;

  frontends.set(row("a", backend("10.1.0.2"))); // still in b
  pods.delete("10.1.0.1");
  await pause(5);
  assertEquals(gone, []);
  frontends.delete("b");
  await pause(5);
  assertEquals(gone, ["10.1.0.1"]);

  frontends.delete("a"); // a service that is deleted, or a backend that is not ready
  await pause(5);
  assertEquals(gone, ["10.1.0.1"], "the pod of 10.1.0.2 is alive");
  frontends.set(row("a", backend("10.1.0.2")));
  frontends.set(row("a"));
  await settled();
  pods.delete("10.1.0.2");
  await pause(5);
  assertEquals(gone, ["10.1.0.1", "10.1.0.2"]);

  frontends.set(row("a", backend("192.0.2.9", "")));
  await settled();
  frontends.delete("a");
  pods.set("10.1.0.1"); // another pod has the address
  await pause(150);
  assertEquals(gone, ["10.1.0.1", "10.1.0.2", "10.1.0.2"], "once more, while no pod has it");
});

Deno.test("StaleSockets destroys the sockets of pods", async () => {
  const given = tables();
  const { frontends, pods } = given;
  using host = new SocketHost({ addresses: ["10.1.0.1/32", "10.1.0.2/32"] });
  await using server = host.process();
  await using client = host.process();
  for (const ip of ["10.1.0.1", "10.1.0.2"]) {
    await server.must(ip, "socket", "inet", "stream");
    await server.must(ip, "bind", ip, 8080);
    await server.must(ip, "listen", 8);
    await client.must(ip, "socket", "inet", "stream");
    await client.must(ip, "connect", ip, 8080);
    pods.set(ip);
  }
  frontends.set(row("a", backend("10.1.0.1"), backend("10.1.0.2")));
  const { stale, sockets } = watch(given, ["/run/netns/of-a-pod-that-is-gone", host.path]);
  await using _stale = stale;
  frontends.delete("a");
  await pause(20);
  assertEquals(sockets(), 0);
  const waiting = client.call("10.1.0.1", "recv");
  await pause(20);
  pods.delete("10.1.0.1");
  assertEquals(await waiting, { error: "ECONNABORTED" });
  assertEquals(await client.call("10.1.0.2", "send", "x"), { value: 1 });
  assertEquals(sockets(), 1);
});

Deno.test("StaleSockets destroys those of backends that went while there was no agent", async () => {
  const given = tables();
  for (const ip of ["10.1.0.1", "10.1.0.2"]) given.pods.set(ip);
  given.frontends.set(row("a", backend("10.1.0.1")));
  const before = ["10.1.0.1", "10.1.0.2", "10.1.0.3"].map((ip) => ({
    ...backend(ip),
    protocol: 6,
  }));
  const { stale, gone } = watch(given, [], before);
  await using _stale = stale;
  await pause(5);
  assertEquals(gone, ["10.1.0.3"]);
});

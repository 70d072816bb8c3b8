import { assertEquals } from "@std/assert";
import { formatIp, parseIp } from "../../../datapath/net/ip.ts";
import type { SocketPeer } from "../../../datapath/net/sock_diag.ts";
import { SocketHost } from "../../../datapath/testdata/socket_host.ts";
import { settled } from "../../core/schedule.ts";
import { Table } from "../../core/table.ts";
import { type BackendList, type FrontendBackend, packBackends } from "./backends.ts";
import { SeveredBackends } from "./stale_sockets.ts";

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

const backend = (ip: string, pod: string | undefined = `demo/${ip}`): FrontendBackend => ({
  address: parseIp(ip),
  port: 8080,
  state: "active",
  weight: 1,
  local: false,
  ...(pod ? { pod } : {}),
});

const row = (name: string, ...backends: FrontendBackend[]): Row => ({
  name,
  protocol: "TCP",
  backends: packBackends(backends),
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The addresses that are said to be severed, in order. */
function watch(
  { frontends, pods }: ReturnType<typeof tables>,
  namespaces: string[] = [],
  before: SocketPeer[] = [],
) {
  const told: string[] = [];
  let sockets = 0;
  const severed = new SeveredBackends({
    frontends,
    before,
    pods: [pods],
    lives: (ip) => pods.has(ip),
    namespaces: () => namespaces,
    onError: (error) => {
      throw error;
    },
    onSevered: (peers: readonly SocketPeer[], count) => {
      told.push(...peers.map(({ address }) => formatIp(address)));
      sockets += count;
    },
    againMs: 100,
  });
  return { severed, told, sockets: () => sockets };
}

Deno.test("SeveredBackends severs a backend when it is in no service and its pod is gone", async () => {
  const given = tables();
  const { frontends, pods } = given;
  for (const ip of ["10.1.0.1", "10.1.0.2", "10.1.0.3"]) pods.set(ip);
  frontends.set(row("a", backend("10.1.0.1"), backend("10.1.0.2")));
  frontends.set(row("b", backend("10.1.0.1")));
  const { severed, told } = watch(given);
  await using _severed = severed;

  frontends.set(row("a", backend("10.1.0.2"))); // still in b
  pods.delete("10.1.0.1");
  await pause(5);
  assertEquals(told, []);
  frontends.delete("b");
  await pause(5);
  assertEquals(told, ["10.1.0.1"]);

  frontends.delete("a"); // a service that is deleted, or a backend that is not ready
  await pause(5);
  assertEquals(told, ["10.1.0.1"], "the pod of 10.1.0.2 lives");
  frontends.set(row("a", backend("10.1.0.2")));
  frontends.set(row("a"));
  await settled();
  pods.delete("10.1.0.2");
  await pause(5);
  assertEquals(told, ["10.1.0.1", "10.1.0.2"]);

  frontends.set(row("a", backend("192.0.2.9", "")));
  await settled();
  frontends.delete("a");
  pods.set("10.1.0.1"); // another pod has the address
  await pause(150);
  assertEquals(told, ["10.1.0.1", "10.1.0.2", "10.1.0.2"], "once more, where nobody lives");
});

Deno.test("SeveredBackends ends the sockets of pods", async () => {
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
  const { severed, sockets } = watch(given, ["/run/netns/of-a-pod-that-is-gone", host.path]);
  await using _severed = severed;
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

Deno.test("SeveredBackends severs what has gone while there was no agent", async () => {
  const given = tables();
  for (const ip of ["10.1.0.1", "10.1.0.2"]) given.pods.set(ip);
  given.frontends.set(row("a", backend("10.1.0.1")));
  const before = ["10.1.0.1", "10.1.0.2", "10.1.0.3"].map((ip) => ({
    ...backend(ip),
    protocol: 6,
  }));
  const { severed, told } = watch(given, [], before);
  await using _severed = severed;
  await pause(5);
  assertEquals(told, ["10.1.0.3"]);
});

import { assert, assertEquals } from "@std/assert";
import { IpcacheFlags, ServiceFlags } from "./maps/generated.ts";
import { formatIp, parseIp } from "./net/ip.ts";
import { SocketHost, type Sockets } from "./testdata/socket_host.ts";

const TCP = 6, UDP = 17;

const FAMILIES = {
  ipv4: {
    family: "inet",
    vip: "10.96.0.1",
    backends: ["10.1.0.1", "10.1.0.2"],
    loopback: "127.0.0.1",
  },
  ipv6: {
    family: "inet6",
    vip: "fd00:96::1",
    backends: ["fd00:1::1", "fd00:1::2"],
    loopback: "::1",
  },
} as const;

const ADDRESSES = ["10.1.0.1/32", "10.1.0.2/32", "fd00:1::1/128", "fd00:1::2/128"];

type Given = typeof FAMILIES[keyof typeof FAMILIES];

function hosted(options: { host?: boolean } = {}): SocketHost {
  return new SocketHost({ addresses: ADDRESSES, ...options });
}

/** A listener, or a bound socket, that is called by its address. */
async function serve(server: Sockets, family: string, kind: string, ip: string, port: number) {
  await server.must(ip, "socket", family, kind);
  await server.must(ip, "bind", ip, port);
  if (kind === "stream") await server.must(ip, "listen", 64);
}

async function connected(
  client: Sockets,
  name: string,
  family: string,
  kind: string,
  ip: string,
  port: number,
) {
  await client.must(name, "socket", family, kind);
  return await client.call(name, "connect", ip, port);
}

/** The sum of the hits of the first rows. */
function hits(host: SocketHost, rows: number): number {
  let sum = 0;
  for (let i = 1; i <= rows; i++) sum += Number(host.backends.get(i)!.hits);
  return sum;
}

for (const [name, given] of Object.entries(FAMILIES) as [string, Given][]) {
  const { family, vip, backends, loopback } = given;
  const both = backends.map((ip) => [ip, 8080] as const);

  Deno.test(`${name}: connect() goes to a backend, is counted, and getpeername() shows the service`, async () => {
    using host = hosted();
    await using server = host.process({ translated: false });
    await using client = host.process();
    for (const ip of backends) await serve(server, family, "stream", ip, 8080);
    host.service(vip, 80, TCP, { backends: both });
    for (let i = 0; i < 16; i++) {
      assertEquals(await connected(client, `c${i}`, family, "stream", vip, 80), { value: null });
      assertEquals(await client.must(`c${i}`, "getpeername"), [vip, 80]);
    }
    assertEquals(hits(host, 2), 16);
    assert([1, 2].every((row) => host.backends.get(row)!.hits > 0n), "both are used");
    assertEquals(host.reverse.count(), 16);
    for (let i = 0; i < 16; i++) await client.must(`c${i}`, "close");
    assertEquals(host.reverse.count(), 0, "rows of closed sockets");
  });

  Deno.test(`${name}: connected UDP shows the service, unconnected UDP keeps to one backend`, async () => {
    using host = hosted();
    await using server = host.process({ translated: false });
    await using client = host.process();
    for (const ip of backends) await serve(server, family, "dgram", ip, 5300);
    host.service(vip, 53, UDP, { backends: backends.map((ip) => [ip, 5300]) });

    assertEquals(await connected(client, "c", family, "dgram", vip, 53), { value: null });
    assertEquals(await client.must("c", "getpeername"), [vip, 53]);
    await client.must("c", "send", "hello");
    const asked = host.backends.get(1)!.hits === 1n ? backends[0] : backends[1];
    const [text, ...peer] = await server.must(asked, "recvfrom") as [string, string, number];
    await server.must(asked, "sendto", `re:${text}`, ...peer);
    assertEquals(await client.must("c", "recvfrom"), ["re:hello", vip, 53]);

    await client.must("u", "socket", family, "dgram");
    const before = hits(host, 2);
    for (let i = 0; i < 4; i++) await client.must("u", "sendto", "x", vip, 53);
    assertEquals(hits(host, 2), before + 1, "one choice a socket");
    const row = host.reverse.keys().toArray().map(({ backend }) => formatIp(backend));
    const used = backends.find((ip) =>
      row.filter((r) => r === ip).length > (ip === asked ? 1 : 0)
    )!;
    const [, ...from] = await server.must(used, "recvfrom") as [string, string, number];
    await server.must(used, "sendto", "answer", ...from);
    assertEquals(await client.must("u", "recvfrom"), ["answer", vip, 53]);
    await server.must(used, "sendto", "late", ...from);
    host.services.delete({ address: parseIp(vip), port: 53, protocol: UDP });
    assertEquals(await client.must("u", "recvfrom"), ["late", used, 5300], "the service is gone");
  });

  Deno.test(`${name}: a service without backend is refused, for connect() and sendto()`, async () => {
    using host = hosted();
    await using client = host.process();
    host.service(vip, 80, TCP, { backends: [] });
    host.service(vip, 80, UDP, { backends: [] });
    for (const kind of ["stream", "dgram"]) {
      assertEquals(await connected(client, kind, family, kind, vip, 80), { error: "ECONNREFUSED" });
    }
    await client.must("u", "socket", family, "dgram");
    assertEquals(await client.call("u", "sendto", "x", vip, 80), { error: "ECONNREFUSED" });
  });

  Deno.test(`${name}: with affinity the namespace keeps its backend until it is gone or the time is over`, async () => {
    using host = hosted();
    await using server = host.process({ translated: false });
    await using client = host.process();
    for (const ip of backends) await serve(server, family, "stream", ip, 8080);
    host.service(vip, 80, TCP, { backends: both, affinityS: 2, id: 7 });
    const chosen = () =>
      [...host.affinity.entries()].map((
        [{ service }, { backend }],
      ) => [service, formatIp(backend)]);
    let n = 0;
    const connect = async (times: number) => {
      for (let i = 0; i < times; i++) {
        assertEquals(await connected(client, `c${n++}`, family, "stream", vip, 80), {
          value: null,
        });
      }
    };
    await connect(8);
    const [[service, first]] = chosen() as [[number, string]];
    assertEquals([service, chosen().length], [7, 1]);
    const own = both.findIndex(([ip]) => ip === first);
    assertEquals(Number(host.backends.get(1 + own)!.hits), 8, "all to one, all counted");

    // another set in which the backend has another place
    host.service(vip, 80, TCP, {
      set: 11,
      backends: [both[1 - own]!, both[own]!],
      affinityS: 2,
      id: 7,
    });
    await connect(4);
    assertEquals(host.backends.get(12)!.hits, 4n);

    // not a member any more
    host.members.delete({ address: parseIp(first), service: 7, port: 8080 });
    host.service(vip, 80, TCP, { set: 21, backends: [both[1 - own]!], affinityS: 2, id: 7 });
    await connect(1);
    assertEquals(chosen(), [[7, both[1 - own]![0]]]);

    const used = () => [...host.affinity.entries()][0]![1].used;
    const before = used();
    await new Promise((resolve) => setTimeout(resolve, 2100));
    await connect(1);
    assert(used() - before >= 2_000_000_000n, "chosen anew when the time is over");
  });

  for (const own of [true, false]) {
    Deno.test(`${name}: a node port on the loopback and bind() of it, ${own ? "on the node" : "in a pod"}`, async () => {
      using host = hosted({ host: own });
      await using server = host.process({ translated: false });
      await using client = host.process();
      await serve(server, family, "stream", backends[0], 8080);
      host.service(loopback, 30080, TCP, { backends: [[backends[0], 8080]] });
      host.service("::", 30080, TCP, { backends: [] });
      const { error } = await connected(client, "c", family, "stream", loopback, 30080);
      assertEquals(error, own ? undefined : "ECONNREFUSED");
      const any = name === "ipv4" ? "0.0.0.0" : "::";
      for (
        const [kind, port, refused] of [["stream", 30080, own], ["dgram", 30080, false], [
          "stream",
          30081,
          false,
        ]] as const
      ) {
        const socket = `${kind}${port}`;
        await client.must(socket, "socket", family, kind);
        assertEquals(
          (await client.call(socket, "bind", any, port)).error,
          refused ? "EADDRINUSE" : undefined,
          socket,
        );
      }
    });
  }
}

/** The name of a server's socket. */
const DATAGRAMS = "datagrams";

const NODE_PORTS = [
  ["192.0.2.2", "127.0.0.1", "10.1.0.1", "inet"],
  ["2001:db8::2", "::1", "fd00:1::1", "inet6"],
] as const;

for (const own of [true, false]) {
  Deno.test(`a node port of another node is translated here, ${own ? "on the node" : "in a pod"}`, async () => {
    for (const [other, loopback, backend, family] of NODE_PORTS) {
      using host = hosted({ host: own });
      await using server = host.process({ translated: false });
      await using client = host.process();
      await serve(server, family, "stream", backend, 8080);
      await server.must(DATAGRAMS, "socket", family, "dgram");
      await server.must(DATAGRAMS, "bind", backend, 8080);
      for (const protocol of [TCP, UDP]) {
        const backends = [[backend, 8080]] as const;
        host.service(loopback, 30080, protocol, { backends, flags: ServiceFlags.NODE_PORT });
        host.service(loopback, 30081, protocol, { backends });
      }
      const attempt = async (name: string, port: number) =>
        (await connected(client, name, family, "stream", other, port)).error;
      // an address that is no node's has no node ports
      assertEquals(await attempt("a", 30080), "ENETUNREACH");
      host.ipcache.set(parseIp(other), {
        identity: 6,
        flags: IpcacheFlags.NODE,
        ifindex: 0,
        node: parseIp(other),
      });
      assertEquals(await attempt("b", 30080), undefined);
      assertEquals(await client.must("b", "getpeername"), [other, 30080]);
      assertEquals(await attempt("c", 30081), "ENETUNREACH", "a host port is its node's alone");

      await client.must("d", "socket", family, "dgram");
      await client.must("d", "sendto", "question", other, 30080);
      const [text, ...from] = await server.must(DATAGRAMS, "recvfrom") as [string, string, number];
      await server.must(DATAGRAMS, "sendto", `${text} answered`, ...from);
      assertEquals(await client.must("d", "recvfrom"), ["question answered", other, 30080]);
    }
  });
}

Deno.test("an IPv6 socket reaches IPv4 services by mapped addresses", async () => {
  using host = hosted();
  await using server = host.process({ translated: false });
  await using client = host.process();
  const { vip, backends } = FAMILIES.ipv4;
  await serve(server, "inet", "stream", backends[0], 8080);
  host.service(vip, 80, TCP, { backends: [[backends[0], 8080]] });
  const mapped = `::ffff:${vip}`;
  assertEquals(await connected(client, "t", "inet6", "stream", mapped, 80), { value: null });
  assertEquals(await client.must("t", "getpeername"), [mapped, 80]);
  await client.must("t", "close");

  await server.must("u", "socket", "inet", "dgram");
  await server.must("u", "bind", backends[1], 5300);
  host.service(vip, 53, UDP, { set: 11, backends: [[backends[1], 5300]] });
  await client.must("u", "socket", "inet6", "dgram");
  await client.must("u", "sendto", "x", mapped, 53);
  const [, ...from] = await server.must("u", "recvfrom") as [string, string, number];
  await server.must("u", "sendto", "y", ...from);
  assertEquals(await client.must("u", "recvfrom"), ["y", mapped, 53]);

  assertEquals(await connected(client, "c", "inet6", "dgram", mapped, 53), { value: null });
  assertEquals(await client.must("c", "getpeername"), [mapped, 53]);
  await client.must("c", "close");
  await client.must("u", "close");
});

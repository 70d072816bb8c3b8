import { assertEquals } from "@std/assert";
import { SocketHost } from "../testdata/socket_host.ts";
import { parseIp } from "./ip.ts";
import { openNamespace } from "./netns.ts";
import { destroySockets } from "./sock_diag.ts";

const TCP = 6, UDP = 17;

for (
  const [family, own, other] of [
    ["inet", "10.1.0.1", "10.1.0.2"],
    ["inet6", "fd00:1::1", "fd00:1::2"],
  ] as const
) {
  Deno.test(`destroySockets() ends ${family} connections to a peer and no others`, async () => {
    using host = new SocketHost({
      addresses: [own, other].map((ip) => `${ip}/${ip.includes(":") ? 128 : 32}`),
    });
    await using server = host.process({ translated: false });
    await using client = host.process({ translated: false });
    for (const ip of [own, other]) {
      for (const kind of ["stream", "dgram"]) {
        await server.must(ip + kind, "socket", family, kind);
        await server.must(ip + kind, "bind", ip, 8080);
        if (kind === "stream") await server.must(ip + kind, "listen", 8);
        await client.must(ip + kind, "socket", family, kind);
        await client.must(ip + kind, "connect", ip, 8080);
      }
    }
    if (family === "inet") {
      await client.must("mapped", "socket", "inet6", "stream");
      await client.must("mapped", "connect", `::ffff:${own}`, 8080);
    }
    using namespace = openNamespace(host.path);
    const peer = (protocol: number, port = 8080) => ({ address: parseIp(own), port, protocol });
    const ended = (...peers: ReturnType<typeof peer>[]) =>
      destroySockets(peers, { netns: namespace.fd });
    assertEquals(ended(peer(TCP, 8081)), 0);
    assertEquals(ended(peer(TCP), peer(UDP)), family === "inet" ? 3 : 2);
    for (const kind of ["stream", "dgram"]) {
      assertEquals(await client.call(own + kind, "recv"), { error: "ECONNABORTED" });
      assertEquals(await client.call(other + kind, "send", "x"), { value: 1 });
    }
    await server.must(`${own}stream`, "accept", "accepted");
    assertEquals(await server.call("accepted", "recv"), { error: "ECONNRESET" });
  });
}

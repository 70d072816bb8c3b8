import { assertEquals, assertRejects } from "@std/assert";
import { hubbleListeners, hubbleSocket } from "./hubble_listeners.ts";

const NONE = { hubble: undefined, hubbleTlsCert: "", hubbleTlsKey: "" };

function directory(): { runDir: string } & Disposable {
  const runDir = Deno.makeTempDirSync({ prefix: "pilus-hubble-" });
  return { runDir, [Symbol.dispose]: () => Deno.removeSync(runDir, { recursive: true }) };
}

Deno.test("hubbleListeners() listens on the socket, for root alone, and removes it at the end", async () => {
  using place = directory();
  const [listener] = await hubbleListeners({ ...NONE, ...place });
  const path = hubbleSocket(place);
  assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  listener!.close();
  assertEquals([...Deno.readDirSync(place.runDir)], []);
});

Deno.test("hubbleListeners() takes over the socket of an agent that died, and not of one that lives", async () => {
  using place = directory();
  const path = hubbleSocket(place);
  const [living] = await hubbleListeners({ ...NONE, ...place });
  await assertRejects(
    () => hubbleListeners({ ...NONE, ...place }),
    Error,
    "another agent answers there",
  );
  living!.close();
  // as a process leaves it that is killed
  await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `Deno.listen({ transport: "unix", path: ${
        JSON.stringify(path)
      } }); Deno.kill(Deno.pid, "SIGKILL")`,
    ],
  }).output();
  assertEquals(Deno.statSync(path).isSocket, true);
  const [next] = await hubbleListeners({ ...NONE, ...place });
  next!.close();
});

const LOOPBACK = { hostname: "127.0.0.1", port: 0 };

for (
  const [options, message] of [
    [{ hubble: { hostname: "0.0.0.0", port: 0 } }, "needs --hubble-tls-cert and --hubble-tls-key"],
    [{ hubble: { hostname: "::", port: 0 } }, "needs --hubble-tls-cert and --hubble-tls-key"],
    [{ hubble: LOOPBACK, hubbleTlsCert: "/none" }, "need each other"],
    [{ hubbleTlsCert: "/none", hubbleTlsKey: "/none" }, "needs --hubble"],
    [{ hubble: LOOPBACK, hubbleTlsCert: "/none", hubbleTlsKey: "/none" }, "Cannot read /none"],
    [
      { hubble: { hostname: "192.0.2.1", port: 1 }, ...certificate() },
      "Cannot listen on --hubble 192.0.2.1:1",
    ],
  ] as const
) {
  Deno.test(`hubbleListeners() refuses ${JSON.stringify(options)}: ${message}`, async () => {
    using place = directory();
    await assertRejects(() => hubbleListeners({ ...NONE, ...place, ...options }), Error, message);
    assertEquals([...Deno.readDirSync(place.runDir)], []);
  });
}

Deno.test("hubbleListeners() speaks HTTP/2 over TLS", async () => {
  using place = directory();
  const { hubbleTlsCert, hubbleTlsKey } = certificate();
  const [unix, tcp] = await hubbleListeners({
    ...place,
    hubble: LOOPBACK,
    hubbleTlsCert,
    hubbleTlsKey,
  });
  const accepted = tcp!.accept() as Promise<Deno.TlsConn>;
  const { port } = tcp!.addr as Deno.NetAddr;
  using connection = await Deno.connectTls({
    hostname: "localhost",
    port,
    caCerts: [Deno.readTextFileSync(hubbleTlsCert)],
    alpnProtocols: ["h2"],
  });
  using served = await accepted;
  const [client] = await Promise.all([connection.handshake(), served.handshake()]);
  assertEquals(client.alpnProtocol, "h2");
  unix!.close();
  tcp!.close();
});

/** A certificate of localhost that is its own authority. */
function certificate(): { hubbleTlsCert: string; hubbleTlsKey: string } {
  const file = (name: string) => new URL(`testdata/${name}`, import.meta.url).pathname;
  return { hubbleTlsCert: file("localhost.pem"), hubbleTlsKey: file("localhost.key") };
}

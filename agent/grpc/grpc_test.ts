import { assert, assertEquals, assertRejects } from "@std/assert";
import { GrpcClient } from "./grpc_client.ts";
import { type GrpcMethods, GrpcServer } from "./grpc_server.ts";
import { Http2Connection } from "./http2_connection.ts";
import { GrpcError, Status } from "./status.ts";

const encoder = new TextEncoder(), decoder = new TextDecoder();

interface Place extends AsyncDisposable {
  port: number;
  /** Of a second listener. */
  otherPort: number;
  errors: string[];
  /** Messages that streams were asked for. */
  given: number;
  /** Calls whose signal came. */
  ended: number;
  client(port?: number): Promise<GrpcClient>;
}

function serve(maxConnections = 8, requestMs = 10_000): Place {
  const errors: string[] = [];
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const stack = new AsyncDisposableStack();
  const methods: GrpcMethods = {
    "/t/Echo": async function* (request) {
      await Promise.resolve();
      yield [request];
    },
    "/t/Count": async function* (request, { signal }) {
      signal.addEventListener("abort", () => place.ended++);
      for (let n = Number(decoder.decode(request)); n > 0 && !signal.aborted; n -= 100) {
        place.given += 100;
        yield Array.from({ length: 100 }, (_, i) => encoder.encode(`${n - i} `.padEnd(500, "x")));
        await Promise.resolve();
      }
    },
    "/t/Wait": async function* (_, { signal }) {
      yield [encoder.encode("begun")];
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      place.ended++;
    },
    "/t/Refuse": async function* () {
      yield await Promise.reject(new GrpcError(Status.INVALID_ARGUMENT, "100 % wrong: ü\n"));
    },
    "/t/Break": async function* () {
      yield await Promise.reject(new TypeError("a fault"));
    },
  };
  const server = stack.use(
    new GrpcServer({
      methods,
      onError: (what, error) => errors.push(`${what}: ${error}`),
      ...{ maxConnections, requestMs },
    }),
  );
  const otherListener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  server.listen(listener);
  server.listen(otherListener);
  const place: Place = {
    ...{ port, otherPort: otherListener.addr.port, errors, given: 0, ended: 0 },
    client: async (port = place.port) => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port });
      return new GrpcClient(connection, { authority: "localhost", tls: false });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
  return place;
}

async function ask(client: GrpcClient, path: string, request: Uint8Array): Promise<Uint8Array[]> {
  return await Array.fromAsync(client.call(path, request));
}

Deno.test("GrpcServer answers a call with one message, of any length that may be", async () => {
  await using place = serve();
  await using client = await place.client();
  for (const length of [0, 1, 16_384, 65_535, 65_536, 128 * 1024]) {
    const [answer] = await ask(client, "/t/Echo", new Uint8Array(length).fill(7));
    assertEquals(answer, new Uint8Array(length).fill(7));
  }
  assertEquals(place.errors, []);
});

Deno.test("GrpcServer streams more than all windows, in order, to several calls at once", async () => {
  await using place = serve();
  await using client = await place.client();
  const all = await Promise.all(
    [1, 2, 3].map(() => ask(client, "/t/Count", encoder.encode("10000"))),
  );
  for (const messages of all) {
    const numbers = messages.map((message) => parseInt(decoder.decode(message)));
    assertEquals(numbers, Array.from({ length: 10_000 }, (_, i) => 10_000 - i));
  }
});

for (
  const [path, request, code, message] of [
    ["/t/Refuse", "", Status.INVALID_ARGUMENT, "100 % wrong: ü\n"],
    ["/t/Break", "", Status.INTERNAL, "a fault"],
    ["/t/None", "", Status.UNIMPLEMENTED, "There is no method /t/None"],
    ["/t/toString", "", Status.UNIMPLEMENTED, "There is no method /t/toString"],
    ["/t/Echo", "x".repeat(128 * 1024 + 1), Status.RESOURCE_EXHAUSTED, "at most 131072"],
  ] as const
) {
  Deno.test(`GrpcServer ends ${path} of ${request.length} bytes with status ${code}`, async () => {
    await using place = serve();
    await using client = await place.client();
    const error = await assertRejects(
      () => ask(client, path, encoder.encode(request)),
      GrpcError,
      message,
    );
    assertEquals(error.code, code);
    // the connection serves on
    assertEquals((await ask(client, "/t/Echo", encoder.encode("a"))).length, 1);
    assertEquals(place.errors, code === Status.INTERNAL ? ["/t/Break: TypeError: a fault"] : []);
  });
}

Deno.test("GrpcServer is told when a client cancels a call, and when it goes", async () => {
  await using place = serve();
  const client = await place.client();
  for await (const _ of client.call("/t/Wait", new Uint8Array(0))) break;
  while (place.ended < 1) await pause();
  const stop = new AbortController();
  const cancelled = assertRejects(async () => {
    for await (const _ of client.call("/t/Wait", new Uint8Array(0), stop.signal)) stop.abort();
  }, GrpcError);
  assertEquals((await cancelled).code, Status.CANCELLED);
  while (place.ended < 2) await pause();
  const waiting = client.call("/t/Wait", new Uint8Array(0));
  await waiting.next();
  await client[Symbol.asyncDispose]();
  assertEquals((await assertRejects(() => waiting.next(), GrpcError)).code, Status.UNAVAILABLE);
  while (place.ended < 3) await pause();
  assertEquals(place.errors, []);
});

Deno.test("GrpcServer makes no more than a client that does not read has room for", async () => {
  await using place = serve();
  await using client = await place.client();
  const call = client.call("/t/Count", encoder.encode("1000000"));
  await call.next();
  let before = -1;
  while (place.given !== before) {
    before = place.given;
    await pause(100);
  }
  // a window of the client's of 1 MiB, and what is on its way
  assert(place.given < 20_000, `${place.given} messages of 500 bytes`);
  // other calls of the connection go on
  assertEquals((await ask(client, "/t/Echo", encoder.encode("a"))).length, 1);
  await call.return(undefined);
  while (place.ended < 1) await pause();
});

Deno.test("GrpcServer closes connections that do not speak HTTP/2, and serves on", async () => {
  await using place = serve();
  for (
    const text of [
      "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "a".repeat(40),
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\xff".repeat(40),
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x01\x05\0\0\0\x01", // no settings first
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\xff\xff\xff",
    ]
  ) {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: place.port });
    await connection.write(Uint8Array.from(text, (char) => char.charCodeAt(0)));
    const buffer = new Uint8Array(4096);
    try {
      while (await connection.read(buffer) !== null);
    } catch (error) {
      assert(error instanceof Deno.errors.ConnectionReset);
    }
  }
  await using client = await place.client();
  assertEquals((await ask(client, "/t/Echo", encoder.encode("a"))).length, 1);
  assertEquals(place.errors, []);
});

Deno.test("GrpcServer serves while others hold more connections than there may be", async () => {
  await using place = serve(4);
  const held: Deno.Conn[] = [];
  for (let i = 0; i < 20; i++) {
    held.push(await Deno.connect({ hostname: "127.0.0.1", port: place.port }));
  }
  await using client = await place.client();
  assertEquals((await ask(client, "/t/Echo", encoder.encode("a"))).length, 1);
  for (const connection of held) connection.close();
});

Deno.test("GrpcServer serves on one listener while calls hold all connections of another", async () => {
  await using place = serve(2);
  await using clients = new AsyncDisposableStack();
  for (let i = 0; i < 3; i++) {
    const call = clients.use(await place.client()).call("/t/Wait", new Uint8Array(0));
    if (i < 2) await call.next();
    else await assertRejects(() => call.next(), GrpcError);
  }
  const other = clients.use(await place.client(place.otherPort));
  assertEquals((await ask(other, "/t/Echo", encoder.encode("a"))).length, 1);
});

Deno.test("GrpcServer ends a call whose request does not come", async () => {
  await using place = serve(2, 50);
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: place.port });
  const http2 = new Http2Connection(connection, {});
  const running = http2.run();
  const fields = [[":method", "POST"], [":path", "/t/Echo"], ["content-type", "application/grpc"]];
  const stream = await http2.open(fields as [string, string][]);
  assertEquals((await stream.headers.promise).get("grpc-status"), String(Status.DEADLINE_EXCEEDED));
  http2.close();
  await running;
  assertEquals(place.errors, []);
});

Deno.test("GrpcServer says that it ends to calls under way, and ends with clients that read nothing", async () => {
  const place = serve();
  await using client = await place.client();
  const call = client.call("/t/Wait", new Uint8Array(0));
  await call.next();
  await using silent = await place.client();
  const unread = silent.call("/t/Count", encoder.encode("1000000"));
  await unread.next();
  const next = assertRejects(() => call.next(), GrpcError, "the server ends");
  await place[Symbol.asyncDispose]();
  assertEquals((await next).code, Status.UNAVAILABLE);
  await assertRejects(async () => {
    for await (const _ of unread);
  }, GrpcError);
});

Deno.test("GrpcClient says of a server that does not speak gRPC that it does not", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served = (async () => {
    using connection = await listener.accept();
    await connection.write(encoder.encode("HTTP/1.1 400 Bad Request\r\n\r\n<html>"));
  })();
  const { port } = listener.addr;
  await using client = new GrpcClient(await Deno.connect({ hostname: "127.0.0.1", port }), {
    authority: "localhost",
    tls: false,
  });
  const error = await assertRejects(
    () => ask(client, "/t/Echo", new Uint8Array(0)),
    GrpcError,
    "does not speak HTTP/2",
  );
  assertEquals(error.code, Status.UNAVAILABLE);
  await served;
  listener.close();
});

function pause(ms = 5): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { abortConnection } from "../../node/abort_connection.ts";
import { ConnectionBudget } from "./connection_budget.ts";
import { HttpResponse } from "./http_response.ts";
import { HttpServer, type HttpServerOptions } from "./http_server.ts";

interface Place extends AsyncDisposable {
  server: HttpServer;
  budget: ConnectionBudget;
  port: number;
  errors: string[];
  connect(): Promise<Deno.TcpConn>;
}

function serve(options: Partial<HttpServerOptions> = {}, limit = 8): Place {
  const errors: string[] = [];
  const budget = new ConnectionBudget(limit);
  let port = 0;
  const server = new HttpServer({
    listen: () => {
      const listener = Deno.listen({ hostname: "127.0.0.1", port });
      port = listener.addr.port;
      return listener;
    },
    handler: ({ path }) => new HttpResponse(200, `at ${path}\n`),
    budget,
    onError: (what, error) => void errors.push(`${what}: ${error}`),
    ...options,
  });
  return {
    ...{ server, budget, port, errors },
    connect: () => Deno.connect({ hostname: "127.0.0.1", port }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function send(connection: Deno.Conn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

/** Everything that comes until the server closes. */
async function rest(connection: Deno.Conn): Promise<string> {
  let text = "";
  const chunk = new Uint8Array(64 * 1024);
  try {
    while (true) {
      const length = await connection.read(chunk);
      if (length === null) return text;
      text += new TextDecoder().decode(chunk.subarray(0, length));
    }
  } catch (error) {
    return `${text}${(error as Error).name}`;
  }
}

/** The answer to a request's text. */
async function ask({ connect }: Place, text: string): Promise<string> {
  using connection = await connect();
  await send(connection, text);
  return await rest(connection);
}

const GET = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
const HALF = "GET /metrics HTTP/1.1\r\nhost: x\r\nx-a: ";

Deno.test("HttpServer answers while others hold more connections than there may be", async () => {
  await using place = serve();
  const held: Deno.Conn[] = [];
  for (const text of ["", "G", HALF]) {
    for (let i = 0; i < 40; i++) {
      const connection = await place.connect();
      held.push(connection);
      if (text !== "") await send(connection, text).catch(() => {});
    }
    assertStringIncludes(await ask(place, GET), "HTTP/1.1 200 OK\r\n");
    assert(place.budget.open <= 8);
  }
  for (const connection of held) connection.close();
  assertEquals(place.errors, []);
});

Deno.test("HttpServer keeps the place of a request that is being answered", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const handler = async () => {
    await promise;
    return new HttpResponse(200, "late\n");
  };
  await using place = serve({ handler });
  const slow = ask(place, GET);
  const held: Deno.Conn[] = [];
  for (let i = 0; i < 40; i++) held.push(await place.connect());
  // all that were opened have been accepted when the one after them has been
  assertStringIncludes(await ask(place, "not HTTP\r\n\r\n"), "HTTP/1.1 400 ");
  resolve();
  assertStringIncludes(await slow, "late");
  for (const connection of held) connection.close();
});

Deno.test("HttpServer closes a connection whose head, body or reading takes too long", async () => {
  const body = new HttpResponse(200, "x".repeat(64 << 20));
  await using place = serve({
    requestMs: 50,
    writeMs: 50,
    abort: abortConnection,
    maxBody: 100,
    handler: async (request) => {
      await request.body();
      return body;
    },
  });
  for (const text of ["", HALF]) assertEquals(await ask(place, text), "");
  const late = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab";
  assertStringIncludes(await ask(place, late), "");
  using idle = await place.connect();
  await send(idle, GET);
  while (place.budget.open > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(place.errors, []);
});

Deno.test("HttpServer answers what is not HTTP with 400, and never with 500", async () => {
  await using place = serve({ handler: () => new HttpResponse(200, "good") });
  const bad = [
    "GET /\r\n\r\n",
    "\r\n\r\n\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET  / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nno field\r\n\r\n",
    "GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
    "GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    "GET / HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
  ];
  for (const text of bad) assertStringIncludes(await ask(place, text), "HTTP/1.1 400 ", text);
  const good = [
    "GET / HTTP/1.1\r\nhost: [::g\r\n\r\n",
    "GET http://e%00vil:99999/x HTTP/1.1\r\nhost: y\r\n\r\n",
    "GET //%zz?a=%zz HTTP/1.1\r\n\r\n",
    "OPTIONS * HTTP/1.0\r\n\r\n",
  ];
  for (const text of good) assertStringIncludes(await ask(place, text), "\r\n\r\ngood", text);
  assertStringIncludes(
    await ask(place, "GET / HTTP/1.1\r\n" + "a: b\r\n".repeat(4000)),
    "HTTP/1.1 413 ",
  );
  assertStringIncludes(
    await ask(place, "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nabcde"),
    "HTTP/1.1 413 ",
  );
  assertStringIncludes(
    await ask(place, "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZZ\r\n"),
    "HTTP/1.1 411 ",
  );
  assertEquals(place.errors, []);
});

Deno.test("HttpServer listens again when its listener was lost", async () => {
  await using place = serve();
  place.server.relisten();
  let answer = "";
  while (!answer.includes("200")) answer = await ask(place, GET).catch(() => "");
  assertStringIncludes(answer, "at /metrics");
});

Deno.test("HttpServer ends while clients say nothing and handlers do not come back", async () => {
  const { promise: never, resolve } = Promise.withResolvers<HttpResponse>();
  const place = serve({ handler: () => never });
  const held = await Promise.all(Array.from({ length: 4 }, () => place.connect()));
  await send(held[0]!, HALF);
  await send(held[1]!, GET);
  await place[Symbol.asyncDispose]();
  assertEquals(await Promise.all(held.map(rest)), ["", "", "", ""]);
  for (const connection of held) connection.close();
  resolve(new HttpResponse(204));
});

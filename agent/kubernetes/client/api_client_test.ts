import { assertEquals, assertInstanceOf, assertMatch, assertStringIncludes } from "@std/assert";
import { serveBytes, serveHttp, streamOf, type TestServer } from "./_test_server.ts";
import type { Access } from "./access.ts";
import { ApiClient, type ApiRequest } from "./api_client.ts";
import { ApiError } from "./api_error.ts";
import { keepAlive } from "./heartbeat.ts";

const PODS: ApiRequest = { verb: "list", group: "", resource: "pods", path: "/api/v1/pods" };

function clientOf(
  server: string | readonly string[],
  more: Partial<Access> = {},
  patienceMs = 5000,
) {
  const access = { servers: [server].flat(), origin: "test", token: "SECRET", ...more };
  return new ApiClient({ access: () => access, userAgent: "pilus/test", patienceMs });
}

/** How the request fails; a request never says the secrets. */
async function failure(work: () => Promise<unknown>): Promise<ApiError> {
  try {
    await work();
  } catch (error) {
    assertInstanceOf(error, ApiError, `${error}`);
    assertEquals(error.message.includes("SECRET"), false, error.message);
    return error;
  }
  throw new Error("it did not fail");
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** A token as the API server gives them, valid between these seconds. */
const jwt = (claims: object) => `e30.${btoa(JSON.stringify(claims))}.SECRET`;

Deno.test("answers that are errors say what is missing and how to grant it", async () => {
  const status = (code: number, message: string, more: object = {}) =>
    new Response(JSON.stringify({ kind: "Status", code, message, ...more }), { status: code });
  const tooLarge = { details: { causes: [{ reason: "ResourceVersionTooLarge" }] } };
  const cases: [answer: Response, code: string, words: RegExp, token?: string][] = [
    [status(401, "Unauthorized"), "unauthorized", /does not take the token of the test: Unauth/],
    [status(401, ""), "unauthorized", /which expired 2001-09-09T/, jwt({ exp: 1e9 })],
    [status(401, ""), "unauthorized", /valid from 2096.*clock right/, jwt({ nbf: 4e9 })],
    [
      status(403, 'User "x" cannot list resource "pods"'),
      "forbidden",
      /ClusterRole with \{apiGroups: \[""\], resources: \["pods"\], verbs: \["list", "watch"\]\}.*User "x"/,
    ],
    [new Response("404 page not found", { status: 404 }), "notFound", /404 page not found/],
    [status(410, "too old"), "gone", /too old/],
    [status(422, "is forbidden"), "invalid", /422\): is forbidden/],
    [status(429, "later", { details: { retryAfterSeconds: 7 } }), "busy", /429/],
    [status(500, "etcd"), "busy", /500\): etcd/],
    [status(504, "Timeout: Too large resource version", tooLarge), "ahead", /older than ours/],
    [new Response("<html>\x1b[2J", { status: 502 }), "busy", /<html>\\x1b/],
    [new Response("", { status: 302, headers: { location: "/x" } }), "strange", /status 302/],
    [new Response("no JSON"), "strange", /no JSON/],
    [new Response("x".repeat(99_999), { status: 503 }), "busy", /503/],
  ];
  for (const [answer, code, words, token = "SECRET"] of cases) {
    await using server = serveHttp(() => answer);
    using client = clientOf(server.url, { token });
    const error = await failure(() => client.json(PODS));
    assertEquals(error.code, code);
    assertMatch(error.message, words);
    assertEquals(error.message.length < 1000, true, error.message);
    if (code === "busy" && /429/.test(`${words}`)) assertEquals(error.retryAfterMs, 7000);
  }
});

const openssl = async (...args: string[]) => {
  const { success, stderr } = await new Deno.Command("openssl", { args, stderr: "piped" }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
};

Deno.test("connections that fail say what is wrong with them", async () => {
  const directory = Deno.makeTempDirSync();
  try {
    const [key, cert] = [`${directory}/key`, `${directory}/cert`];
    const made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const subject = [
      "-subj",
      "/CN=other",
      "-addext",
      "subjectAltName=DNS:other.example",
      "-addext",
      "basicConstraints=critical,CA:FALSE",
    ];
    await openssl("req", "-x509", ...made, ...subject, "-keyout", key, "-out", cert);
    const tls = { cert: Deno.readTextFileSync(cert), key: Deno.readTextFileSync(key) };
    await using secure = serveHttp(() => new Response("{}"), tls);
    await using plain = serveHttp(() => new Response("{}"));
    await using silent = serveBytes(() => new Promise(() => {}));
    await using closing = serveBytes((connection) => Promise.resolve(connection.close()));
    const unused = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const gone = `http://127.0.0.1:${unused.addr.port}`;
    unused.close();
    const cases: [server: string, code: string, words: RegExp, more?: Partial<Access>][] = [
      [secure.url, "untrusted", /signed by none of the certificate authorities/],
      [secure.url, "untrusted", /for other names or addresses/, { caCerts: tls.cert }],
      [plain.url.replace("http:", "https:"), "untrusted", /does not speak TLS/],
      [silent.url, "silent", /nothing came for 0.2 s/],
      [closing.url, "unreachable", /connection failed/],
      [gone, "unreachable", /connection is refused/],
      ["http://no.such.name.invalid", "unreachable", /name has no address/],
    ];
    for (const [url, code, words, more] of cases) {
      using client = clientOf(url, more, code === "silent" ? 200 : 10_000);
      const error = await failure(() => client.json(PODS));
      assertEquals([error.code, words.test(error.message)], [code, true], error.message);
      assertStringIncludes(error.message, url);
    }
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("another server of the cluster is asked when one cannot be reached", async () => {
  await using silent = serveBytes(() => new Promise(() => {}));
  await using closing = serveBytes((connection) => Promise.resolve(connection.close()));
  await using server = serveHttp(() => new Response("{}"));
  using client = clientOf([silent.url, closing.url, server.url], {}, 1000);
  assertEquals((await failure(() => client.json(PODS))).code, "silent");
  assertEquals((await failure(() => client.json(PODS))).code, "unreachable");
  assertEquals(await client.json(PODS), {});
  assertEquals(await client.json(PODS), {});
});

Deno.test("back resolves when a server can be reached again, and an answer that is an error will do", async () => {
  await using silent = serveBytes(() => new Promise(() => {}));
  await using server = serveHttp(() => new Response("", { status: 503 }));
  using client = clientOf([silent.url, server.url], {}, 1000);
  assertEquals(client.back, undefined);
  await failure(() => client.json(PODS));
  const { back } = client;
  assertEquals((await failure(() => client.json(PODS))).code, "busy");
  await back;
  assertEquals(client.back, undefined);
});

Deno.test("a rotated token is used by the next request", async () => {
  await using server = serveHttp(() => new Response("{}"));
  let token = "first";
  const access = () => ({ servers: [server.url], origin: "test", token });
  using client = new ApiClient({ access, userAgent: "pilus/test" });
  await client.json(PODS);
  token = "second";
  await client.json({ ...PODS, query: { limit: "500", labelSelector: "!a,b in (c)" } });
  const [first, second] = server.requests;
  assertEquals(first!.headers.get("authorization"), "Bearer first");
  assertEquals(second!.headers.get("authorization"), "Bearer second");
  assertEquals(second!.headers.get("user-agent"), "pilus/test");
  assertEquals(second!.url.searchParams.get("labelSelector"), "!a,b in (c)");
});

Deno.test("lines() gives whole lines, however they come, and ends as the stream does", async () => {
  const bytes = new TextEncoder().encode('{"a":"é"}\n\n{"b":1}\r\n{"cut');
  const cases: [answer: () => TestServer, lines: string[], code?: string][] = [
    [() => serveHttp(() => new Response(streamOf(["{}\n{", "}\n", '{"cut']))), ["{}", "{}"]],
    [
      () =>
        serveHttp(() =>
          new Response(
            new ReadableStream({
              start(controller) {
                for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
                controller.close();
              },
            }),
          )
        ),
      ['{"a":"é"}', '{"b":1}\r'],
    ],
    [() => serveHttp(() => new Response(streamOf(["{}\n"], "open"))), ["{}"], "silent"],
    [
      () =>
        serveBytes(async (connection) => {
          const head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
          await connection.write(new TextEncoder().encode(`${head}3\r\n{}\n\r\n9\r\n{`));
          connection.close();
        }),
      ["{}"],
      "unreachable",
    ],
    [
      () =>
        serveHttp(() =>
          new Response(
            streamOf(["{}\n", ..."x".repeat(17).split("").map((x) => x.repeat(2 ** 20))]),
          )
        ),
      ["{}"],
      "strange",
    ],
  ];
  for (const [serve, expected, code] of cases) {
    await using server = serve();
    using client = clientOf(server.url, {}, code === "silent" ? 500 : 10_000);
    const found: string[] = [];
    const work = async () => {
      for await (const line of client.lines(PODS)) found.push(line);
    };
    if (code) assertEquals((await failure(work)).code, code);
    else await work();
    assertEquals(found, expected);
  }
});

Deno.test("a request ends with the reason of its signal", async () => {
  await using server = serveHttp(() => new Response(streamOf(["{}\n"], "open")));
  using client = clientOf(server.url);
  const end = new AbortController();
  const found: string[] = [];
  try {
    for await (const line of client.lines({ ...PODS, signal: end.signal })) {
      found.push(line);
      end.abort(new Error("enough"));
    }
  } catch (error) {
    found.push((error as Error).message);
  }
  assertEquals(found, ["{}", "enough"]);
});

Deno.test("keepAlive() ends what waits on a connection that is dead", async () => {
  // a server that went without a word: it answers one request, and then nothing more
  let asked = 0;
  await using server = serveHttp((_, { pathname }, ended) => {
    asked++;
    if (pathname === "/version") return ended;
    return new Response(streamOf(["{}\n"], "open"));
  });
  using client = clientOf(server.url, {}, 60_000);
  const end = new AbortController();
  const beating = keepAlive(client, end.signal, { quietMs: 50, patienceMs: 50 });
  const error = await failure(() => all(client.lines(PODS)));
  assertEquals(error.code, "silent");
  assertStringIncludes(error.message, "get version");
  end.abort();
  await beating;
  assertEquals(asked, 2);
});

import { assert, assertEquals, assertRejects } from "@std/assert";
import { AgentClient, AgentError, AgentUnreachableError } from "./client.ts";
import { ApiError, type ApiRoutes, serveApi } from "./server.ts";

async function withApi(
  routes: ApiRoutes,
  test: (client: AgentClient, socket: string) => Promise<void>,
): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-api-" });
  const socket = `${directory}/run/pilus.sock`;
  try {
    await using _server = await serveApi({ socket, routes, onError: () => {} });
    await test(new AgentClient(socket), socket);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("AgentClient gets JSON, sends JSON and knows the kinds of failure", async () => {
  await withApi({
    "GET /v1/things/{name}": ({ params, query }) => ({ ...params, q: query.get("q") }),
    "POST /v1/echo": async ({ json }) => await json(),
    "DELETE /v1/things/{name}": () => undefined,
    "GET /v1/no": () => {
      throw new ApiError(409, { code: "taken", message: "It is taken", hint: "ask later" });
    },
    "GET /v1/bug": () => {
      throw new Error("oops");
    },
  }, async (client) => {
    assertEquals(await client.call("/v1/things/a%2Fb?q=%C3%BC"), { name: "a/b", q: "ü" });
    const large = { text: "ä".repeat(300_000) };
    assertEquals(await client.call("/v1/echo", { method: "POST", body: large }), large);
    assertEquals(await client.call("/v1/things/a", { method: "DELETE" }), undefined);
    for (
      const [path, status, code] of [
        ["/v1/no", 409, "taken"],
        ["/v1/bug", 500, "internal"],
        ["/v1/none", 404, "not-found"],
        ["/v1/echo", 405, "not-allowed"],
      ] as const
    ) {
      const error = await assertRejects(() => client.call(path), AgentError);
      assertEquals([error.status, error.code], [status, code]);
    }
    const options = { method: "POST", body: [] } as const;
    await assertRejects(() => client.call("/v1/echo", options), AgentError, "not a JSON object");
  });
});

Deno.test("AgentClient streams rows as they come, and leaving the loop ends them at the agent", async () => {
  const ended = Promise.withResolvers<void>();
  await withApi({
    "GET /v1/count": async function* ({ signal }) {
      try {
        for (let n = 0; !signal.aborted; n++) {
          yield { n, text: "é".repeat(100) };
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      } finally {
        ended.resolve();
      }
    },
  }, async (client) => {
    const seen: number[] = [];
    for await (const { n } of client.stream<{ n: number }>("/v1/count")) {
      seen.push(n);
      if (seen.length === 20) break;
    }
    assertEquals(seen, Array.from({ length: 20 }, (_, n) => n));
    await ended.promise;
  });
});

Deno.test("serveApi() ends a stream that has nothing to send when its client goes", async () => {
  const ended = Promise.withResolvers<void>();
  await withApi({
    "GET /v1/wait": async function* ({ signal }) {
      yield { first: true };
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      ended.resolve();
    },
  }, async (client) => {
    for await (const _ of client.stream("/v1/wait")) break;
    await ended.promise;
  });
});

Deno.test("AgentClient gets the rows of long arrays one by one", async () => {
  const rows = Array.from({ length: 20_000 }, (_, n) => ({ n, text: "é".repeat(n % 50) }));
  await withApi({
    "GET /v1/batches": async function* () {
      yield [];
      yield rows.slice(0, 1);
      yield rows.slice(1);
    },
  }, async (client) => {
    assertEquals(await Array.fromAsync(client.stream("/v1/batches")), rows);
  });
});

Deno.test("serveApi() ends its streams when it stops", async () => {
  const { promise: never, resolve } = Promise.withResolvers<void>();
  const rows: unknown[] = [];
  let reading: Promise<void> | undefined;
  await withApi({
    "GET /v1/wait": async function* () {
      yield { first: true };
      await never;
    },
  }, async (client) => {
    const first = Promise.withResolvers<void>();
    reading = (async () => {
      for await (const row of client.stream("/v1/wait")) {
        rows.push(row);
        first.resolve();
      }
    })();
    await first.promise;
  });
  await reading;
  resolve();
  assertEquals(rows, [{ first: true }]);
});

Deno.test("serveApi() makes a socket for its owner alone and refuses when another answers", async () => {
  await withApi({}, async (_client, socket) => {
    assertEquals(Deno.statSync(socket).mode! & 0o777, 0o600);
    const again = () => serveApi({ socket, routes: {} });
    await assertRejects(again, Error, "another agent answers there");
  });
});

Deno.test("serveApi() listens again when its socket was removed or replaced", async () => {
  await withApi({ "GET /v1/x": () => ({ ok: true }) }, async (client, socket) => {
    const answer = () => client.call("/v1/x").catch(() => undefined);
    for (const take of [Deno.removeSync, (path: string) => Deno.renameSync(path, `${path}.old`)]) {
      take(socket);
      while (await answer() === undefined) await new Promise((done) => setTimeout(done, 20));
    }
  });
});

Deno.test("serveApi() answers lookups by names of Object.prototype with 404", async () => {
  await withApi({ "GET /v1/{name}": ({ params }) => params }, async (client) => {
    for (const name of ["constructor", "__proto__"]) {
      assertEquals(await client.call(`/v1/${name}`), { name });
      const error = await assertRejects(() => client.call(`/${name}/x`), AgentError);
      assertEquals(error.status, 404);
    }
  });
});

Deno.test("serveApi() replaces the socket of a dead agent and nothing else", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-api-" });
  const socket = `${directory}/pilus.sock`;
  const listen = `Deno.listen({ transport: "unix", path: ${
    JSON.stringify(socket)
  } }); Deno.kill(Deno.pid, "SIGKILL")`;
  await new Deno.Command(Deno.execPath(), { args: ["eval", listen], stderr: "null" }).output();
  assert(Deno.lstatSync(socket).isSocket);
  {
    await using _server = await serveApi({ socket, routes: {} });
  }
  Deno.writeTextFileSync(socket, "precious");
  await assertRejects(
    () => serveApi({ socket, routes: {} }),
    Error,
    "no socket is there",
  );
  assertEquals(Deno.readTextFileSync(socket), "precious");
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("AgentClient says what to do when there is no agent, and stops at its signal", async () => {
  const client = new AgentClient("/run/pilus/no-such.sock");
  await assertRejects(
    () => client.call("/v1/status"),
    AgentUnreachableError,
    "Cannot reach the agent at /run/pilus/no-such.sock: there is no such socket: is it running? " +
      "Start it with `pilus agent`; one that is starting says in its log what it waits for",
  );
  const { promise: never, resolve } = Promise.withResolvers<void>();
  await withApi({ "GET /v1/slow": () => never }, async (slow) => {
    const call = () => slow.call("/v1/slow", { signal: AbortSignal.timeout(20) });
    await assertRejects(call, DOMException);
    resolve();
  });
});

/** Servers on the loopback for tests. */

/** A request as it came. */
export interface Asked {
  url: URL;
  headers: Headers;
}

/** A server, and what it was asked. */
export interface TestServer extends AsyncDisposable {
  url: string;
  requests: Asked[];
}

/** Serves HTTP, and counts what it is asked. A handler that has no answer gives `ended`. */
export function serveHttp(
  handler: (request: Request, url: URL, ended: Promise<Response>) => Response | Promise<Response>,
  tls: { cert: string; key: string } | undefined = undefined,
): TestServer {
  const requests: Asked[] = [];
  const ended = Promise.withResolvers<Response>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, ...tls },
    (request) => {
      const url = new URL(request.url);
      requests.push({ url, headers: new Headers(request.headers) });
      return handler(request, url, ended.promise);
    },
  );
  const { port } = server.addr as Deno.NetAddr;
  return {
    url: `${tls ? "https" : "http"}://127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      ended.resolve(new Response());
      await server.shutdown();
    },
  };
}

/** Takes connections and says what it is told to, byte by byte. */
export function serveBytes(answer: (connection: Deno.TcpConn) => Promise<void>): TestServer {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections = new Set<Deno.TcpConn>();
  const serving = (async () => {
    for await (const connection of listener) {
      connections.add(connection);
      void answer(connection).catch(() => {});
    }
  })();
  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    requests: [],
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of connections) {
        try {
          connection.close();
        } catch { /* it has ended */ }
      }
      await serving;
    },
  };
}

/** A body that says these texts, then `end`s: closed, kept open, or broken. */
export function streamOf(
  texts: readonly string[],
  end: "close" | "open" | "break" = "close",
): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const text of texts) controller.enqueue(new TextEncoder().encode(text));
      if (end === "close") controller.close();
      // the texts are sent by then
      if (end === "break") setTimeout(() => controller.error(new Error("breaks off")), 20);
    },
  });
}

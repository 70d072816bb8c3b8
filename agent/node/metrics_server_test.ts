import { assertThrows } from "@std/assert";
import { HttpResponse } from "../api/http/http_response.ts";
import { Log } from "../core/log.ts";
import { serveMetrics } from "./metrics_server.ts";

Deno.test("serveMetrics() names the option when the address is taken", () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  const none = () => Promise.resolve(new HttpResponse(200, ""));
  assertThrows(
    () => serveMetrics({ hostname: "127.0.0.1", port }, none, new Log("error")),
    Error,
    `Cannot listen on --metrics 127.0.0.1:${port}`,
  );
});

import { assertEquals, assertThrows } from "@std/assert";
import { parseConnectionQuery } from "./connection_query.ts";
import { ApiError } from "./server.ts";

Deno.test("parseConnectionQuery() reads filters, and has a limit without one", () => {
  assertEquals(parseConnectionQuery(new URLSearchParams("ip=::1&port=53&protocol=udp&limit=2")), {
    filter: { protocols: [17], ips: ["::1"], ports: [53] },
    limit: 2,
  });
  assertEquals(parseConnectionQuery(new URLSearchParams()), { filter: {}, limit: 10_000 });
  for (const text of ["limit=-5", "limit=abc", "limit=0", "protocol=non-ip", "pod=a/b"]) {
    assertThrows(() => parseConnectionQuery(new URLSearchParams(text)), ApiError);
  }
});

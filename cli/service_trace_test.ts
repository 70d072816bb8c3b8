import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "./command.ts";
import { parseEnd } from "./service_trace.ts";

Deno.test("parseEnd() takes addresses of both families, with a port or without", () => {
  assertEquals(parseEnd("10.96.0.1:80", "--from"), { ip: "10.96.0.1", port: 80 });
  assertEquals(parseEnd("10.96.0.1", "--from"), { ip: "10.96.0.1" });
  assertEquals(parseEnd("[fd00:0::1]:443", "--from"), { ip: "fd00::1", port: 443 });
  assertEquals(parseEnd("fd00::1", "--from"), { ip: "fd00::1" });
  for (const text of ["web:80", "10.96.0.1:65536", "[10.96.0.1", "fd00::1]:80", ""]) {
    assertThrows(() => parseEnd(text, "--from"), UsageError, "--from takes an address and port");
  }
});

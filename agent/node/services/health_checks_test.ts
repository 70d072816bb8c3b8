import { assertEquals } from "@std/assert";
import { settled } from "../../core/schedule.ts";
import { Table } from "../../core/table.ts";
import { type HealthCheck, HealthCheckServers } from "./health_checks.ts";

function freePort(): number {
  using listener = Deno.listen({ hostname: "::", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

async function ask(host: string, port: number) {
  const answer = await fetch(`http://${host}:${port}/healthz`);
  return [answer.status, await answer.json()];
}

Deno.test("HealthCheckServers answers for each service, and follows its table", async () => {
  const checks = new Table<HealthCheck>({ name: "checks", key: ({ port }) => String(port) });
  const port = freePort(), taken = freePort();
  using _busy = Deno.listen({ hostname: "::", port: taken });
  const failed: string[] = [];
  const check = { namespace: "shop", name: "web", port, localEndpoints: 2 };
  checks.set(check);
  const body = (localEndpoints: number) => ({
    service: { namespace: "shop", name: "web" },
    localEndpoints,
    serviceProxyHealthy: true,
  });
  await using servers = new HealthCheckServers(checks, ({ name }) => void failed.push(name));
  await servers.settled();
  assertEquals(await ask("127.0.0.1", port), [200, body(2)]);
  assertEquals(await ask("[::1]", port), [200, body(2)]);
  checks.set({ ...check, localEndpoints: 0 });
  checks.set({ ...check, name: "busy", port: taken });
  await settled();
  await servers.settled();
  assertEquals(await ask("127.0.0.1", port), [503, body(0)]);
  assertEquals(failed, ["busy"]);
  checks.delete(String(port));
  await settled();
  await servers.settled();
  assertEquals(await fetch(`http://127.0.0.1:${port}/`).catch(() => "refused"), "refused");
});

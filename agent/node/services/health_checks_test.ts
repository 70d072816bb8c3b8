import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ReconcileError, Reconciler } from "../../core/reconciler.ts";
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
  const busy = Deno.listen({ hostname: "::", port: taken });
  const check = { namespace: "shop", name: "web", port, localEndpoints: 2 };
  checks.set(check);
  const body = (localEndpoints: number, name = "web") => ({
    service: { namespace: "shop", name },
    localEndpoints,
    serviceProxyHealthy: true,
  });
  await using target = new HealthCheckServers(checks, (_, error) => console.error(error));
  await using reconciler = new Reconciler({
    name: "health-checks",
    desired: checks,
    target,
    minBackoffMs: 10,
    maxBackoffMs: 10,
  });
  await reconciler.start();
  assertEquals(await ask("127.0.0.1", port), [200, body(2)]);
  assertEquals(await ask("[::1]", port), [200, body(2)]);
  checks.set({ ...check, localEndpoints: 0 });
  checks.set({ ...check, name: "busy", port: taken });
  const { message } = await assertRejects(() => reconciler.flush(), ReconcileError);
  assertMatch(message, new RegExp(`${taken} of Service shop/busy is another process's`));
  assertEquals(await ask("127.0.0.1", port), [503, body(0)]);
  assertEquals(await reconciler.repair(), 0);
  busy.close();
  await reconciler.flush();
  assertEquals(await ask("127.0.0.1", taken), [200, body(2, "busy")]);
  checks.delete(String(port));
  await reconciler.flush();
  assertEquals(await fetch(`http://127.0.0.1:${port}/`).catch(() => "refused"), "refused");
});

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { AgentClient, AgentError } from "../../api/client.ts";
import { serveApi } from "../../api/server.ts";
import type { AgentEventView } from "../../api/views.ts";
import { AgentEvent, FlowType } from "../../flows/flow.ts";
import { FlowRing } from "../../flows/flow_ring.ts";
import { EventClock } from "./event_clock.ts";
import { EventFormat } from "./event_format.ts";
import { FlowViews } from "./flow_view.ts";
import { monitorRoute } from "./monitor_route.ts";

async function withMonitor(
  test: (ring: FlowRing, client: AgentClient) => Promise<void>,
): Promise<void> {
  const podOf = () => undefined;
  const format = new EventFormat({ node: "node-a", clock: new EventClock(), podOf });
  const made = new Map([[FlowType.AGENT, 1024]]);
  const ring = new FlowRing({ format, podOf, capacity: 1024, made });
  const views = new FlowViews({
    labels: () => undefined,
    pod: podOf,
    interface: String,
    rule: () => undefined,
  });
  const directory = Deno.makeTempDirSync({ prefix: "pilus-monitor-" });
  const socket = `${directory}/pilus.sock`;
  try {
    await using _server = await serveApi({
      socket,
      routes: { "GET /v1/monitor": monitorRoute(ring, views) },
    });
    await test(ring, new AgentClient(socket));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function push(ring: FlowRing, text: string): void {
  ring.push({
    kind: "agent",
    type: FlowType.AGENT,
    seconds: 1,
    nanoseconds: 0,
    node: "node-a",
    event: AgentEvent.ENDPOINT_CREATED,
    text,
  });
}

Deno.test("GET /v1/monitor begins with the last flows, goes on, and ends at the limit", async () => {
  await withMonitor(async (ring, client) => {
    for (const text of ["a", "b", "c"]) push(ring, text);
    const texts: string[] = [];
    const path = "/v1/monitor?type=agent&last=2&limit=3&follow=true";
    for await (const { text } of client.stream<AgentEventView>(path)) {
      texts.push(text);
      if (text === "c") push(ring, "d");
      if (text === "d") push(ring, "e");
    }
    assertEquals(texts, ["b", "c", "d"]);
  });
});

Deno.test("GET /v1/monitor without follow ends with what is kept", async () => {
  await withMonitor(async (ring, client) => {
    for (let i = 0; i < 1000; i++) push(ring, String(i));
    let rows = 0;
    for await (const _ of client.stream("/v1/monitor?type=agent&follow=false")) rows++;
    assertEquals(rows, 1000);
    for await (const _ of client.stream("/v1/monitor?follow=false")) rows++;
    assertEquals(rows, 1000);
  });
});

Deno.test("GET /v1/monitor answers a wrong filter with 400 and what is wrong", async () => {
  await withMonitor(async (_, client) => {
    const error = await assertRejects(() => client.call("/v1/monitor?limit=-5"), AgentError);
    assertEquals([error.status, error.code], [400, "invalid"]);
    assertStringIncludes(error.message, "limit takes a whole number from 1 on, not `-5`");
  });
});

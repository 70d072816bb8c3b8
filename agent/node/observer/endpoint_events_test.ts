import { assertEquals } from "@std/assert";
import type { Endpoint } from "../../api/endpoint.ts";
import { AgentEvent } from "../../flows/flow.ts";
import { endpointTable } from "../endpoints/endpoint_manager.ts";
import { endpointEvents } from "./endpoint_events.ts";

const WEB: Endpoint = {
  id: 7,
  containerId: "c1",
  ifname: "eth0",
  netns: "/run/netns/web",
  netnsCookie: 1,
  namespace: "demo",
  pod: "web",
  hostIfname: "pilus-web",
  hostIfindex: 11,
  hostMac: "02:00:00:00:00:01",
  podMac: "02:00:00:00:00:02",
  mtu: 1500,
  createdAt: "2026-01-31T12:00:00Z",
  state: "creating",
};

Deno.test("endpointEvents() reports an endpoint when it becomes ready and when it is not any more", async () => {
  const table = endpointTable();
  const reports: [number, string][] = [];
  using _watcher = table.watch(endpointEvents((event, text) => reports.push([event, text])));
  const { ENDPOINT_CREATED, ENDPOINT_DELETED } = AgentEvent;
  const step = async (change: () => void, ...wanted: [number, string][]) => {
    change();
    await new Promise((resolve) => setTimeout(resolve, 0)); // the table's notices
    assertEquals(reports.splice(0), wanted);
  };
  const text = "endpoint 7 of demo/web";
  await step(() => table.set(WEB));
  await step(() => table.set({ ...WEB, state: "ready" }), [ENDPOINT_CREATED, text]);
  await step(() => table.set({ ...WEB, state: "ready", mtu: 1400 }));
  await step(() => table.set({ ...WEB, state: "failed" }), [ENDPOINT_DELETED, text]);
  await step(() => table.set({ ...WEB, state: "ready", pod: "" }), [
    ENDPOINT_CREATED,
    "endpoint 7",
  ]);
  await step(() => table.replace([]), [ENDPOINT_DELETED, "endpoint 7"]);
});

import { assertEquals, fail } from "@std/assert";
import { settled } from "../../core/schedule.ts";
import { ServerObjectReader } from "../../kubernetes/server_object.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { Pod } from "../../kubernetes/resources.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import { endpointTable } from "../endpoints/endpoint_manager.ts";
import { deriveLimits } from "./limit_rows.ts";
import { limitsOf } from "./limits.ts";

const pod = (annotations: Record<string, string>): Pod => ({
  kind: "Pod",
  metadata: { name: "web", namespace: "demo", labels: {}, annotations },
  spec: {},
});
const EGRESS = "kubernetes.io/egress-bandwidth", INGRESS = "kubernetes.io/ingress-bandwidth";

Deno.test("deriveLimits() follows pods' annotations, and tells of those that are none", async () => {
  const { Pod: pods } = createResourceTables();
  const endpoints = endpointTable();
  using derived = deriveLimits({ endpoints, pods });
  const seen = async () => {
    await settled();
    return [
      derived.limits.rows().map(({ ifindex, egress, ingress }) => [ifindex, egress, ingress]),
      derived.problems.rows().map(({ source }) => source),
    ];
  };
  pods.set(pod({ [EGRESS]: "8M" }));
  assertEquals(await seen(), [[], []]);
  endpoints.set({ id: 1, namespace: "demo", pod: "web", hostIfindex: 7 } as Endpoint);
  assertEquals(await seen(), [[[7, 1_000_000, 0]], []]);
  const cases: [annotations: Record<string, string>, rows: number[][], problems: number][] = [
    [{ [EGRESS]: "1G", [INGRESS]: "1k" }, [[7, 125_000_000, 125]], 0],
    [{ [INGRESS]: "1P" }, [[7, 0, 125e12]], 0],
    [{ [EGRESS]: "8M", [INGRESS]: "999" }, [[7, 1_000_000, 0]], 1],
    [{ [EGRESS]: "1001T" }, [], 1],
    [{ [EGRESS]: "10Mbit" }, [], 1],
    [{ [EGRESS]: "" }, [], 1],
    [{ [EGRESS]: "-8M" }, [], 1],
    [{ other: "8M" }, [], 0],
  ];
  for (const [annotations, rows, problems] of cases) {
    pods.set(pod(annotations));
    const told = Array.from({ length: problems }, () => "Pod demo/web");
    assertEquals(await seen(), [rows, told], JSON.stringify(annotations));
  }
  pods.set(pod({ [EGRESS]: "8M" }));
  endpoints.replace([]);
  assertEquals(await seen(), [[], []]);
});

Deno.test("limitsOf() has of an API server's Pod what a manifest's would give", () => {
  const annotations = { [EGRESS]: "8M", [INGRESS]: "16M", "example.com/seen": "now" };
  const { resource } = new ServerObjectReader("Pod").read(pod(annotations));
  assertEquals(limitsOf(resource as Pod, fail), { egress: 1_000_000, ingress: 2_000_000 });
});

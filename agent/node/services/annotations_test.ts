import { assertEquals } from "@std/assert";
import { type Balancing, serviceSettings } from "./annotations.ts";

const DEFAULTS: Balancing = { mode: "snat", dispatch: "ipip", algorithm: "maglev" };

function settings(annotations: Record<string, string>) {
  const problems: string[] = [];
  const found = serviceSettings(
    {
      kind: "Service",
      metadata: { name: "web", namespace: "demo", labels: {}, annotations },
      spec: {},
    },
    DEFAULTS,
    (message) => problems.push(message),
  );
  return { found, problems };
}

Deno.test("serviceSettings() are the node's where a Service says nothing", () => {
  const { found, problems } = settings({});
  assertEquals(found, {
    ...DEFAULTS,
    states: new Map(),
    weights: new Map(),
    kinds: new Set<string>(),
  });
  assertEquals(problems, []);
});

Deno.test("serviceSettings() reads our annotations, and Cilium's where ours are missing", () => {
  const { found, problems } = settings({
    "pilus.io/lb-mode": "dsr",
    "service.cilium.io/forwarding-mode": "hybrid",
    "pilus.io/dsr-dispatch": "option",
    "service.cilium.io/lb-algorithm": "random",
    "pilus.io/backend-states": '{"10.0.0.1": "maintenance", "10.0.0.2:80": "quarantined"}',
    "pilus.io/backend-weights": '{"10.0.0.1": 0, "fd00::1": 100}',
    "service.cilium.io/type": "LoadBalancer, NodePort",
  });
  assertEquals(found, {
    mode: "dsr",
    dispatch: "option",
    algorithm: "random",
    states: new Map([["10.0.0.1", "maintenance"], ["10.0.0.2:80", "quarantined"]] as const),
    weights: new Map([["10.0.0.1", 0], ["fd00::1", 100]]),
    kinds: new Set(["LoadBalancer", "NodePort"]),
  });
  assertEquals(problems, []);
});

Deno.test("serviceSettings() reports what it cannot use, and takes the rest", () => {
  const { found, problems } = settings({
    "pilus.io/lb-mode": "fast",
    "service.cilium.io/forwarding-mode": "hybrid",
    "pilus.io/backend-states": '{"10.0.0.1": "terminating", "10.0.0.2": "active"}',
    "pilus.io/backend-weights": '{"10.0.0.1": 101, "10.0.0.2": 1.5, "10.0.0.3": "7"}',
  });
  assertEquals(found.mode, "hybrid");
  assertEquals(found.states, new Map([["10.0.0.2", "active"]] as const));
  assertEquals(found.weights, new Map());
  assertEquals(problems, [
    'annotation pilus.io/lb-mode: "fast" is none of snat, dsr, hybrid',
    'annotation pilus.io/backend-states: "terminating" of 10.0.0.1 is not one of ' +
    "active, quarantined, maintenance, unready",
    "annotation pilus.io/backend-weights: 101 of 10.0.0.1 is not a number from 0 to 100",
    "annotation pilus.io/backend-weights: 1.5 of 10.0.0.2 is not a number from 0 to 100",
    'annotation pilus.io/backend-weights: "7" of 10.0.0.3 is not a number from 0 to 100',
  ]);
  for (const text of ["{", "[]", "null", "7"]) {
    assertEquals(settings({ "pilus.io/backend-weights": text }).problems, [
      "annotation pilus.io/backend-weights: not a JSON object of ADDRESS or ADDRESS:PORT",
    ]);
  }
});

import { assertEquals } from "@std/assert";
import type { SliceEndpoint } from "./resources.ts";
import { packEndpoints, unpackEndpoints } from "./slice_endpoints.ts";

Deno.test("unpackEndpoints() gives back what packEndpoints() was given", () => {
  const endpoints: SliceEndpoint[] = [
    { addresses: ["10.60.1.5"], conditions: {} },
    {
      addresses: ["fd60::1", "fd60::2"],
      conditions: { ready: false, serving: true, terminating: true },
      nodeName: "node-a",
      zone: "one",
      hints: { forZones: [{ name: "one" }, { name: "two" }], forNodes: [{ name: "node-a" }] },
      targetRef: { kind: "Pod", namespace: "demo", name: "web-1" },
    },
    { addresses: [], conditions: { ready: true }, targetRef: { kind: "Pod", name: "web-2" } },
    { addresses: ["10.60.1.6"], conditions: {}, hints: { forNodes: [{ name: "node-b" }] } },
  ];
  assertEquals(unpackEndpoints(packEndpoints(endpoints)), endpoints);
});

Deno.test("packEndpoints() takes null for missing, and leaves out targets that are no pods", () => {
  const text = `[{
    "addresses": ["10.60.1.5"],
    "conditions": { "ready": null },
    "targetRef": { "kind": "Node", "name": "node-a" }
  }]`;
  const packed = packEndpoints(JSON.parse(text) as SliceEndpoint[]);
  assertEquals(unpackEndpoints(packed), [{ addresses: ["10.60.1.5"], conditions: {} }]);
});

import { assertEquals, assertNotEquals } from "@std/assert";
import { formatIp } from "../../datapath/net/ip.ts";
import type { CiliumEndpoint, EndpointSlice, Service } from "../resources.ts";
import { settled } from "../state/schedule.ts";
import { createResourceTables } from "../state/resource_tables.ts";
import { deriveFrontends, type FrontendTables } from "./frontends.ts";

const SERVICE: Service = {
  kind: "Service",
  metadata: { name: "web", namespace: "demo", labels: {} },
  spec: {
    clusterIPs: ["10.96.0.80", "fd60:96::80"],
    selector: { app: "web" },
    ports: [{ name: "http", port: 80, targetPort: "http" }],
  },
};

function published(name: string, ip: number, app = "web"): CiliumEndpoint {
  return {
    kind: "CiliumEndpoint",
    metadata: { name, namespace: "demo", labels: {} },
    status: {
      id: ip,
      identity: { id: 300, labels: [`k8s:app=${app}`] },
      networking: {
        addressing: [{ ipv4: `10.60.1.${ip}`, ipv6: `fd60:1::${ip}` }],
        node: "192.168.60.1",
      },
      state: "ready",
      "named-ports": [{ name: "http", port: 8080, protocol: "TCP" }],
    },
  };
}

function shown({ frontends }: FrontendTables): string[] {
  return frontends.rows().map(({ address, port, protocol, backends }) =>
    `${formatIp(address)} ${port}/${protocol}: ` +
    backends.map((b) => `${formatIp(b.address)} ${b.port} ${b.state}`).join(", ")
  );
}

Deno.test("deriveFrontends() finds the published pods of a service that has no EndpointSlice", async () => {
  const tables = createResourceTables();
  using services = deriveFrontends(tables);
  tables.Service.set(SERVICE);
  tables.CiliumEndpoint.set(published("b", 6));
  tables.CiliumEndpoint.set(published("a", 5));
  tables.CiliumEndpoint.set(published("c", 7, "client"));
  await settled();
  assertEquals(shown(services), [
    "10.96.0.80 80/TCP: 10.60.1.5 8080 active, 10.60.1.6 8080 active",
    "fd60:96::80 80/TCP: fd60:1::5 8080 active, fd60:1::6 8080 active",
  ]);
  const { backendHash } = services.frontends.rows()[0]!;
  tables.CiliumEndpoint.delete("demo/b");
  await settled();
  assertEquals(shown(services)[0], "10.96.0.80 80/TCP: 10.60.1.5 8080 active");
  assertNotEquals(services.frontends.rows()[0]!.backendHash, backendHash);
});

Deno.test("deriveFrontends() takes EndpointSlices when there are some, with their conditions", async () => {
  const tables = createResourceTables();
  using services = deriveFrontends(tables);
  tables.Service.set(SERVICE);
  tables.CiliumEndpoint.set(published("a", 5));
  const slice: EndpointSlice = {
    kind: "EndpointSlice",
    metadata: {
      name: "web-1",
      namespace: "demo",
      labels: { "kubernetes.io/service-name": "web" },
    },
    addressType: "IPv4",
    ports: [{ name: "http", port: 9090 }, { name: "other", port: 1 }],
    endpoints: [
      { addresses: ["10.60.2.9"], nodeName: "node-b" },
      { addresses: ["10.60.2.8"], conditions: { ready: false } },
      {
        addresses: ["10.60.2.7"],
        conditions: { ready: false, serving: true, terminating: true },
        targetRef: { kind: "Pod", name: "old" },
      },
    ],
  };
  tables.EndpointSlice.set(slice);
  await settled();
  assertEquals(shown(services), [
    "10.96.0.80 80/TCP: 10.60.2.7 9090 terminating, 10.60.2.9 9090 active",
    "fd60:96::80 80/TCP: ",
  ]);
  assertEquals(services.frontends.rows()[0]!.backends[0]!.pod, "demo/old");
});

Deno.test("deriveFrontends() leaves headless services alone and reports what it does not serve", async () => {
  const tables = createResourceTables();
  using services = deriveFrontends(tables);
  const service = (name: string, spec: Partial<Service["spec"]>): Service => ({
    kind: "Service",
    metadata: { name, namespace: "demo", labels: {} },
    spec: { ports: [{ port: 80 }], ...spec },
  });
  tables.Service.replace([
    service("a", { clusterIP: "10.96.0.1" }),
    service("b", { clusterIP: "10.96.0.1" }),
    service("headless", { clusterIP: "None" }),
    service("none", {}),
  ]);
  await settled();
  assertEquals(shown(services), ["10.96.0.1 80/TCP: "]);
  assertEquals(services.problems.rows(), [
    {
      source: "Service demo/b",
      message: "10.96.0.1 port 80/TCP is of Service demo/a already; change one",
    },
    { source: "Service demo/none", message: "has no clusterIP, so it is not served; give it one" },
  ]);
});

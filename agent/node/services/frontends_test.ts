import { assertEquals } from "@std/assert";
import { parseIp } from "../../../datapath/net/ip.ts";
import { remoteAddressKey } from "../../cluster/rows.ts";
import type { Pod, Service } from "../../kubernetes/resources.ts";
import { settled } from "../../core/schedule.ts";
import { unpackBackends } from "./backend.ts";
import { chosen, derived, published, service, shown, slice } from "./testdata/frontends.ts";
import type { FrontendOptions } from "./frontends.ts";

Deno.test("deriveFrontends() finds the published pods of a service that has no EndpointSlice", async () => {
  const { Service, addresses, services, named } = derived();
  Service.set(service("web", {
    clusterIPs: ["10.96.0.80", "fd60:96::80"],
    selector: { app: "web" },
    ports: [{ name: "http", port: 80, targetPort: "http" }, { name: "other", port: 81 }],
  }));
  for (const row of [...published("b", 6), ...published("a", 5), ...published("c", 7, "client")]) {
    addresses.set(row);
  }
  await settled();
  assertEquals(shown(named("web")), [
    "ClusterIP 10.96.0.80 80/TCP: 10.60.1.5 8080 active, 10.60.1.6 8080 active",
    "ClusterIP 10.96.0.80 81/TCP: 10.60.1.5 81 active, 10.60.1.6 81 active",
    "ClusterIP fd60:96::80 80/TCP: fd60:1::5 8080 active, fd60:1::6 8080 active",
    "ClusterIP fd60:96::80 81/TCP: fd60:1::5 81 active, fd60:1::6 81 active",
  ]);
  for (const row of published("b", 6)) addresses.delete(remoteAddressKey(row));
  await settled();
  assertEquals(shown(named("web"))[0], "ClusterIP 10.96.0.80 80/TCP: 10.60.1.5 8080 active");
  Service.delete("demo/web");
  await settled();
  assertEquals(services.frontends.size, 0);
  services[Symbol.dispose]();
});

Deno.test("deriveFrontends() chooses active backends first, then those that terminate, then quarantined ones", async () => {
  const { Service, EndpointSlice, named, services } = derived();
  const draining = { ready: false, serving: true, terminating: true };
  const states = (given: Record<string, string>) =>
    Service.set(service("web", {}, {
      metadata: {
        name: "web",
        namespace: "demo",
        labels: {},
        annotations: { "pilus.io/backend-states": JSON.stringify(given) },
      },
    }));
  const endpoints = (first: object) =>
    EndpointSlice.set(slice([
      { addresses: ["10.60.1.1"], conditions: first },
      { addresses: ["10.60.1.2"], conditions: draining },
      { addresses: ["10.60.1.3"] },
      { addresses: ["10.60.1.4"], conditions: { ready: false } },
      { addresses: ["10.60.1.5"] },
    ]));
  states({ "10.60.1.3": "quarantined", "10.60.1.5:8080": "maintenance" });
  endpoints({ ready: true });
  await settled();
  const row = () => named("web")[0]!;
  assertEquals(unpackBackends(row().backends).map(({ state }) => state), [
    "active",
    "terminating",
    "quarantined",
    "unready",
    "maintenance",
  ]);
  assertEquals(chosen(row(), row().internal), ["1.1"]);
  assertEquals(row().internal.order.length, 5, "the others keep what they have");
  endpoints({ ready: false });
  await settled();
  assertEquals(chosen(row(), row().internal), ["1.2"]);
  EndpointSlice.set(slice([{ addresses: ["10.60.1.3"] }, { addresses: ["10.60.1.5"] }]));
  await settled();
  assertEquals(chosen(row(), row().internal), ["1.3"]);
  services[Symbol.dispose]();
});

Deno.test("deriveFrontends() makes frontends of every kind", async () => {
  const { Service, EndpointSlice, named, problems, services } = derived();
  EndpointSlice.set(slice([{ addresses: ["10.60.1.5"] }]));
  Service.set(service("web", {
    type: "LoadBalancer",
    ports: [{ port: 80, nodePort: 30080 }],
    externalIPs: ["198.51.100.2"],
    loadBalancerSourceRanges: ["192.0.2.0/24"],
    sessionAffinity: "ClientIP",
  }, {
    status: {
      loadBalancer: {
        ingress: [{ ip: "198.51.100.1", ipMode: "VIP" }, { ip: "198.51.100.4", ipMode: "Proxy" }],
      },
    },
  }));
  Service.set(service("wish", {
    type: "LoadBalancer",
    clusterIP: "10.96.0.81",
    loadBalancerIP: "198.51.100.3",
    allocateLoadBalancerNodePorts: false,
  }));
  await settled();
  const backend = ": 10.60.1.5 8080 active";
  assertEquals(shown(named("web")), [
    `ClusterIP 10.96.0.80 80/TCP${backend}`,
    `ExternalIP 198.51.100.2 80/TCP${backend}`,
    `LoadBalancer 198.51.100.1 80/TCP${backend}`,
    `NodePort 127.0.0.1 30080/TCP${backend}`,
    `NodePort 192.168.60.1 30080/TCP${backend}`,
    "NodePort ::1 30080/TCP: ",
    "NodePort fd00:60::1 30080/TCP: ",
    "Reserved :: 30080/TCP: ",
  ]);
  assertEquals(shown(named("wish")), [
    "ClusterIP 10.96.0.81 80/TCP: ",
    "LoadBalancer 198.51.100.3 80/TCP: ",
  ]);
  const ranged = named("web").filter(({ sourceRanges }) => sourceRanges).map(({ kind }) => kind);
  assertEquals(ranged, ["LoadBalancer"]);
  assertEquals(new Set(named("web").map(({ affinityS }) => affinityS)), new Set([10_800]));
  assertEquals(problems(), []);
  for (const label of ["service-proxy-name", "headless"]) {
    const labels = { [`service.kubernetes.io/${label}`]: "" };
    Service.set(service("wish", {}, { metadata: { name: "wish", namespace: "demo", labels } }));
    await settled();
    assertEquals(named("wish"), [], label);
  }
  services[Symbol.dispose]();
});

Deno.test("deriveFrontends() follows traffic policies, hints and trafficDistribution", async () => {
  const { Service, EndpointSlice, Node, named, services } = derived();
  Node.set({
    kind: "Node",
    metadata: { name: "node-a", namespace: "", labels: { "topology.kubernetes.io/zone": "one" } },
  });
  EndpointSlice.set(slice());
  const all = ["1.5", "2.5", "3.5"];
  const cases: [
    Partial<Service["spec"]>,
    { cluster: string[]; internal: string[]; external: string[] },
  ][] = [
    [{}, { cluster: all, internal: all, external: all }],
    [{ externalTrafficPolicy: "Local" }, { cluster: all, internal: all, external: ["1.5"] }],
    [{ internalTrafficPolicy: "Local" }, { cluster: ["1.5"], internal: all, external: all }],
    [{ trafficDistribution: "PreferSameNode" }, {
      cluster: ["1.5"],
      internal: ["1.5"],
      external: ["1.5"],
    }],
    [{ trafficDistribution: "PreferClose" }, {
      cluster: ["1.5", "2.5"],
      internal: ["1.5", "2.5"],
      external: ["1.5", "2.5"],
    }],
  ];
  for (const [spec, expected] of cases) {
    Service.set(service("web", { externalIPs: ["198.51.100.2"], ...spec }));
    await settled();
    const [inner, outer] = ["ClusterIP", "ExternalIP"].map((kind) =>
      named("web").find((row) => row.kind === kind)!
    );
    assertEquals(
      {
        cluster: chosen(inner!, inner!.internal),
        internal: chosen(outer!, outer!.internal),
        external: chosen(outer!, outer!.external),
      },
      expected,
      JSON.stringify(spec),
    );
  }
  Service.set(service("web", {}));
  const hinted = (...zones: string[]) =>
    EndpointSlice.set(slice(zones.map((name, i) => ({
      addresses: [`10.60.${i + 1}.5`],
      hints: { forZones: [{ name }] },
    }))));
  hinted("two", "one", "two");
  await settled();
  assertEquals(chosen(named("web")[0]!, named("web")[0]!.internal), ["2.5"]);
  hinted("two", "two", "two");
  await settled();
  assertEquals(chosen(named("web")[0]!, named("web")[0]!.internal), all, "no hint is for here");
  services[Symbol.dispose]();
});

Deno.test("deriveFrontends() serves the host ports of this node's pods", async () => {
  const { Pod, localAddresses, named, problems, services } = derived();
  const pod = (hostIP?: string): Pod => ({
    kind: "Pod",
    metadata: { name: "web", namespace: "demo", labels: {} },
    spec: {
      containers: [{
        ports: [
          { containerPort: 8080, hostPort: 80, ...(hostIP ? { hostIP } : {}) },
          { containerPort: 1, hostPort: 2, protocol: "SCTP" },
        ],
      }],
    },
  });
  localAddresses.set({ id: 1, pod: "demo/web", identity: 300, addresses: [parseIp("10.60.1.9")] });
  Pod.set(pod());
  await settled();
  assertEquals(shown(named("web")), [
    "HostPort 127.0.0.1 80/TCP: 10.60.1.9 8080 active",
    "HostPort 192.168.60.1 80/TCP: 10.60.1.9 8080 active",
    "HostPort ::1 80/TCP: ",
    "HostPort fd00:60::1 80/TCP: ",
    "Reserved :: 80/TCP: ",
  ]);
  Pod.set(pod("192.168.60.1"));
  await settled();
  assertEquals(shown(named("web")), ["HostPort 192.168.60.1 80/TCP: 10.60.1.9 8080 active"]);
  Pod.set(pod("fd00:60:0:1::"));
  await settled();
  assertEquals(shown(named("web")), ["HostPort fd00:60:0:1:: 80/TCP: "], "zeros at its end");
  Pod.set(pod("::"));
  await settled();
  assertEquals(named("web").length, 5);
  const init = (name: string, hostPort: number, restartPolicy?: string) => ({
    name,
    ...(restartPolicy ? { restartPolicy } : {}),
    ports: [{ containerPort: 9, hostPort }],
  });
  Pod.set({
    ...pod("192.168.60.1"),
    spec: { initContainers: [init("i", 90), init("s", 91, "Always")] },
  });
  await settled();
  assertEquals(
    [...new Set(named("web").map(({ port }) => port))],
    [91],
    "sidecars run, others not",
  );
  Pod.set(pod("192.168.60.1"));
  await settled();
  assertEquals(problems(), ["Pod demo/web: hostPort 2/SCTP is not served"]);
  // a new sandbox, while the old one is not yet deleted
  localAddresses.set({ id: 7, pod: "demo/web", identity: 300, addresses: [parseIp("10.60.1.10")] });
  await settled();
  assertEquals(shown(named("web")), ["HostPort 192.168.60.1 80/TCP: 10.60.1.10 8080 active"]);
  localAddresses.delete("7");
  localAddresses.delete("1");
  await settled();
  assertEquals(named("web"), []);
  services[Symbol.dispose]();
});

Deno.test("deriveFrontends() says how packets of external clients are forwarded", async () => {
  const forwarding = async (options: Partial<FrontendOptions>, annotations = {}) => {
    const { Service, named, problems, services } = derived(options);
    const metadata = { name: "web", namespace: "demo", labels: {}, annotations };
    const ports = [{ port: 80 }, { port: 80, protocol: "UDP" as const }];
    Service.set(service("web", { ports, externalIPs: ["198.51.100.2"] }, { metadata }));
    await settled();
    services[Symbol.dispose]();
    const outer = named("web").filter(({ kind }) => kind === "ExternalIP");
    return [...outer.map(({ protocol, forwarding }) => `${protocol} ${forwarding}`), ...problems()];
  };
  const balancing = (mode: "dsr" | "hybrid", dispatch: "ipip" | "option" = "ipip") => ({
    balancing: { mode, dispatch, algorithm: "maglev" as const },
  });
  assertEquals(await forwarding({}), ["TCP snat", "UDP snat"]);
  assertEquals(await forwarding(balancing("dsr")), ["TCP ipip", "UDP ipip"]);
  assertEquals(await forwarding(balancing("hybrid", "option")), ["TCP option", "UDP snat"]);
  assertEquals(await forwarding({}, { "pilus.io/lb-mode": "dsr" }), ["TCP ipip", "UDP ipip"]);
  assertEquals(await forwarding({ ...balancing("dsr"), routing: "vxlan" }), [
    "TCP snat",
    "UDP snat",
    "Service demo/web: mode dsr needs native routing; SNAT is used",
  ]);
  assertEquals(await forwarding({}, { "pilus.io/lb-mode": "magic" }), [
    "TCP snat",
    "UDP snat",
    'Service demo/web: annotation pilus.io/lb-mode: "magic" is none of snat, dsr, hybrid',
  ]);
});

Deno.test("deriveFrontends() reports what it does not serve, and the elder keeps an address", async () => {
  const { Service, EndpointSlice, services, problems, named } = derived();
  Service.set(service("a", { clusterIP: "10.96.0.1" }));
  await settled();
  Service.set(service("b", { clusterIP: "10.96.0.1" }));
  Service.set(service("headless", { clusterIP: "None" }));
  Service.set(service("none", { clusterIP: "" }));
  Service.set(service("sctp", { clusterIP: "10.96.0.2", ports: [{ port: 9, protocol: "SCTP" }] }));
  Service.set(service("low", {
    clusterIP: "10.96.0.3",
    type: "NodePort",
    ports: [{ port: 80, nodePort: 80 }, { name: "x", port: 81 }],
  }));
  await settled();
  assertEquals(problems(), [
    "Service demo/b: 10.96.0.1 port 80/TCP is of Service demo/a, which is older or has the name before; change one",
    "Service demo/low: nodePort 80 is not one from 30000 to 32767 (--node-port-range)",
    "Service demo/low: port x has no nodePort; give it one from 30000 to 32767",
    "Service demo/none: has no clusterIP, so it is not served there; give it one",
    "Service demo/sctp: port 9/SCTP is not served: pilus balances TCP and UDP",
  ]);
  Service.delete("demo/a");
  await settled();
  assertEquals(named("b").length, 1);
  // of external balancers
  EndpointSlice.set(slice());
  Service.set(service("web", {
    clusterIP: "10.96.0.9",
    externalIPs: ["198.51.100.9"],
    externalTrafficPolicy: "Local",
    healthCheckNodePort: 32000,
  }));
  await settled();
  assertEquals(services.healthChecks.rows(), [
    { namespace: "demo", name: "web", port: 32000, localEndpoints: 1 },
  ]);
  // it serves until its connections end, and balancers go elsewhere (KEP-1669)
  EndpointSlice.set(slice([{
    addresses: ["10.60.1.5"],
    nodeName: "node-a",
    conditions: { ready: false, serving: true, terminating: true },
  }]));
  await settled();
  assertEquals(services.healthChecks.rows().map(({ localEndpoints }) => localEndpoints), [0]);
  services[Symbol.dispose]();
});

Deno.test("deriveFrontends(): a health check port that two services claim is of one, and the other is told", async () => {
  for (const order of [["a", "b"], ["b", "a"]]) {
    const { Service, services, problems } = derived();
    for (const name of order) {
      Service.set(service(name, {
        clusterIP: name === "a" ? "10.96.0.1" : "10.96.0.2",
        externalIPs: [name === "a" ? "198.51.100.1" : "198.51.100.2"],
        externalTrafficPolicy: "Local",
        healthCheckNodePort: 32000,
      }));
      await settled();
    }
    assertEquals(services.healthChecks.rows().map(({ name }) => name), ["a"]);
    assertEquals(problems(), [
      "Service demo/b: healthCheckNodePort 32000 is of Service demo/a, which is older or has the " +
      "name before; change one",
    ]);
    services[Symbol.dispose]();
  }
});

Deno.test("deriveFrontends(): a health check port that is a node port is told, and none while it is", async () => {
  const { Service, services, problems } = derived();
  Service.set(service("checked", {
    clusterIP: "10.96.0.1",
    externalIPs: ["198.51.100.1"],
    externalTrafficPolicy: "Local",
    healthCheckNodePort: 30080,
  }));
  for (
    const [type, told] of [["NodePort", true], ["ClusterIP", false], ["NodePort", true]] as const
  ) {
    const ports = [{ port: 80, ...(type === "NodePort" && { nodePort: 30080 }) }];
    Service.set(service("other", { clusterIP: "10.96.0.2", type, ports }));
    await settled();
    assertEquals(services.healthChecks.rows().map(({ port }) => port), told ? [] : [30080]);
    assertEquals(
      problems(),
      told
        ? [
          "Service demo/checked: healthCheckNodePort 30080 is a node port of Service demo/other, " +
          "which gets its connections: balancers learn nothing of this node; change one",
        ]
        : [],
    );
  }
  services[Symbol.dispose]();
});

Deno.test("deriveFrontends(): what two claim is the elder's, then by name, whichever came first", async () => {
  const old = "2026-01-01T00:00:00Z", young = "2026-01-01T01:30:00+01:00";
  const cases: [a: string | undefined, b: string | undefined, owner: string][] = [
    [undefined, undefined, "a"],
    [old, undefined, "a"],
    [undefined, old, "b"],
    [young, old, "b"],
    [old, old, "a"],
  ];
  for (const [a, b, owner] of cases) {
    for (const order of [["a", "b"], ["b", "a"]]) {
      const { Service, services, problems, named } = derived();
      for (const name of order) {
        const creationTimestamp = name === "a" ? a : b;
        Service.set(service(name, {
          clusterIP: name === "a" ? "10.96.0.1" : "10.96.0.2",
          type: "NodePort",
          ports: [{ port: 80, nodePort: 30080 }],
        }, {
          metadata: {
            name,
            namespace: "demo",
            labels: {},
            ...(creationTimestamp ? { creationTimestamp } : {}),
          },
        }));
        await settled();
      }
      const loser = owner === "a" ? "b" : "a";
      const ports = (name: string) => named(name).filter(({ kind }) => kind === "NodePort").length;
      assertEquals([ports(owner), ports(loser)], [4, 0]);
      assertEquals(
        problems(),
        ["127.0.0.1", "192.168.60.1", "::1", "fd00:60::1"].map((address) =>
          `Service demo/${loser}: ${address} port 30080/TCP is of Service demo/${owner}, ` +
          "which is older or has the name before; change one"
        ),
      );
      services[Symbol.dispose]();
    }
  }
});

/** Fields of Services, EndpointSlices and Pods that change who answers. */

import { assertEquals } from "@std/assert";
import { parseIp } from "../../../datapath/net/ip.ts";
import { settled } from "../../core/schedule.ts";
import type { Pod } from "../../kubernetes/resources.ts";
import { chosen, derived, published, service, shown, slice } from "./testdata/frontends.ts";

Deno.test("ipFamilies: a service has no backends of another family", async () => {
  const { Service, addresses, named, services } = derived();
  for (const row of published("a", 5)) addresses.set(row);
  const answers = async (ipFamilies?: ("IPv4" | "IPv6")[]) => {
    Service.set(service("web", {
      type: "NodePort",
      selector: { app: "web" },
      ports: [{ port: 80, nodePort: 30080 }],
      ...(ipFamilies ? { ipFamilies } : {}),
    }));
    await settled();
    return shown(named("web")).filter((row) => /^NodePort .* active/.test(row))
      .filter((row) => !/ (127\.0\.0\.1|::1) /.test(row));
  };
  const ipv4 = "NodePort 192.168.60.1 30080/TCP: 10.60.1.5 80 active";
  const ipv6 = "NodePort fd00:60::1 30080/TCP: fd60:1::5 80 active";
  assertEquals(await answers(), [ipv4, ipv6]);
  assertEquals(await answers(["IPv4", "IPv6"]), [ipv4, ipv6]);
  assertEquals(await answers(["IPv4"]), [ipv4]);
  assertEquals(await answers(["IPv6"]), [ipv6]);
  services[Symbol.dispose]();
});

Deno.test("publishNotReadyAddresses: endpoints that are not ready answer, too", async () => {
  const { Service, EndpointSlice, named, services } = derived();
  EndpointSlice.set(slice([{ addresses: ["10.60.1.5"], conditions: { ready: false } }]));
  for (const publishNotReadyAddresses of [false, true]) {
    Service.set(service("web", { publishNotReadyAddresses }));
    await settled();
    const [row] = named("web");
    assertEquals(chosen(row!, row!.internal), publishNotReadyAddresses ? ["1.5"] : []);
  }
  services[Symbol.dispose]();
});

Deno.test("addresses: an endpoint is its first one, whatever others are said of it", async () => {
  const { Service, EndpointSlice, named, services } = derived();
  Service.set(service("web", {}));
  EndpointSlice.set(slice([
    { addresses: ["10.60.1.6", "10.60.1.5", "10.60.1.7"] },
    { addresses: ["10.60.2.5"] },
  ]));
  await settled();
  assertEquals(chosen(named("web")[0]!, named("web")[0]!.internal), ["1.6", "2.5"]);
  services[Symbol.dispose]();
});

Deno.test("hints.forNodes: endpoints are asked from the nodes that they are for", async () => {
  const { Service, EndpointSlice, named, services } = derived();
  Service.set(service("web", {}));
  const hinted = (nodes: [string, string]) =>
    slice(nodes.map((name, i) => ({
      addresses: [`10.60.${i + 1}.5`],
      hints: { forNodes: [{ name }] },
    })));
  for (
    const [nodes, wanted] of [
      [["node-a", "node-b"], ["1.5"]],
      [["node-b", "node-a"], ["2.5"]],
      [["node-b", "node-c"], ["1.5", "2.5"]],
    ] as [[string, string], string[]][]
  ) {
    EndpointSlice.set(hinted(nodes));
    await settled();
    const [row] = named("web");
    assertEquals(chosen(row!, row!.internal), wanted, nodes.join());
  }
  services[Symbol.dispose]();
});

Deno.test("addressType FQDN: names are served by nobody, which is a problem", async () => {
  const { Service, EndpointSlice, problems, services } = derived();
  Service.set(service("web", {}));
  EndpointSlice.set({ ...slice([{ addresses: ["db.example.com"] }]), addressType: "FQDN" });
  await settled();
  assertEquals(problems(), [
    "Service demo/web: EndpointSlice web-1 has names (addressType FQDN), which are not served",
  ]);
  services[Symbol.dispose]();
});

Deno.test("hostNetwork: the pod has its ports at the node, and no host ports", async () => {
  const { Pod, localAddresses, named, services } = derived();
  localAddresses.set({
    id: 1,
    pod: "demo/web",
    identity: 300,
    addresses: [parseIp("10.60.1.5")],
  });
  for (const hostNetwork of [true, false]) {
    const pod: Pod = {
      kind: "Pod",
      metadata: { name: "web", namespace: "demo", labels: {} },
      spec: {
        hostNetwork,
        containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: 80 }] }],
      },
    };
    Pod.set(pod);
    await settled();
    assertEquals(named("web").length === 0, hostNetwork);
  }
  services[Symbol.dispose]();
});

/** Pods, and random policies about them. */

import { identityLabels, type LabelMap } from "../../../cluster/labels.ts";
import type {
  CiliumNetworkPolicy,
  CiliumPolicySpec,
  CiliumRule,
  LabelSelector,
  NamedPort,
  Namespace,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  PolicyResource,
} from "../../../kubernetes/resources.ts";

/** Numbers from a seed, the same in every run (mulberry32). */
export function random(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export interface TestPod {
  id: number;
  namespace: string;
  podLabels: Record<string, string>;
  labels: LabelMap;
  namedPorts: NamedPort[];
}

export const NAMESPACES: Record<string, Record<string, string>> = {
  red: { team: "x" },
  blue: { team: "y", stage: "live" },
  green: { team: "x", stage: "live" },
};

export function namespaceOf(name: string): Namespace {
  return { kind: "Namespace", metadata: { name, namespace: "", labels: NAMESPACES[name] ?? {} } };
}

export function pods(): TestPod[] {
  const result: TestPod[] = [];
  for (const namespace of Object.keys(NAMESPACES)) {
    for (const app of ["web", "api", "db"]) {
      for (const tier of [undefined, "front"]) {
        const podLabels = { app, ...(tier ? { tier } : {}) };
        const metadata = { name: app, namespace, labels: podLabels };
        result.push({
          id: 1000 + result.length,
          namespace,
          podLabels,
          labels: identityLabels({ metadata }, namespaceOf(namespace)),
          namedPorts: [
            { name: "http", port: app === "api" ? 8081 : 8080, protocol: "TCP" },
            ...(app === "db" ? [{ name: "http", port: 53, protocol: "UDP" as const }] : []),
          ],
        });
      }
    }
  }
  return result;
}

/** Random manifests. */
export function generator(below: (n: number) => number) {
  const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
  const some = <T>(max: number, make: () => T): T[] => Array.from({ length: below(max + 1) }, make);
  const maybe = <T>(make: () => T): T | undefined => below(2) ? make() : undefined;
  const clean = <T extends object>(value: T): T =>
    Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T;

  const selector = (): LabelSelector => {
    switch (below(5)) {
      case 0:
        return {};
      case 1:
        return { matchLabels: { app: pick(["web", "api", "db"]) } };
      case 2:
        return { matchLabels: { app: pick(["web", "api"]), tier: "front" } };
      case 3:
        return {
          matchExpressions: [{
            key: "app",
            operator: pick(["In", "NotIn"]),
            values: ["web", pick(["api", "db"])],
          }],
        };
      default:
        return { matchExpressions: [{ key: "tier", operator: pick(["Exists", "DoesNotExist"]) }] };
    }
  };
  const namespaceSelector = (): LabelSelector =>
    pick<LabelSelector>([
      {},
      { matchLabels: { team: "x" } },
      { matchLabels: { "kubernetes.io/metadata.name": "blue" } },
      { matchExpressions: [{ key: "stage", operator: "DoesNotExist" }] },
    ]);
  const block = () =>
    pick<{ cidr: string; except?: string[] }>([
      { cidr: "0.0.0.0/0" },
      { cidr: "::/0", except: ["2001:db8:1::/48"] },
      { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] },
      { cidr: "10.1.2.0/24" },
      { cidr: "10.1.0.0/16", except: ["10.1.2.3/32"] },
    ]);
  const protocol = () => pick(["TCP", "UDP", "SCTP"] as const);
  const metadata = (i: number) => ({
    name: `p${i}`,
    namespace: pick(Object.keys(NAMESPACES)),
    labels: {},
  });
  const range = () => {
    const port = pick([1, 53, 79, 80, 1000, 8080]);
    return { port, endPort: port + pick([0, 1, 17, 4000]) };
  };

  const k8s = (i: number): NetworkPolicy => {
    const peer = (): NetworkPolicyPeer =>
      pick<() => NetworkPolicyPeer>([
        () => ({ podSelector: selector() }),
        () => ({ namespaceSelector: namespaceSelector() }),
        () => ({ podSelector: selector(), namespaceSelector: namespaceSelector() }),
        () => ({ ipBlock: block() }),
      ])();
    const port = (): NetworkPolicyPort =>
      clean(
        pick<() => NetworkPolicyPort>([
          () => ({ protocol: protocol() }),
          () => ({ port: pick([53, 80, 8080]) }),
          () => ({ protocol: protocol(), port: "http" }),
          () => ({ protocol: protocol(), ...range() }),
        ])(),
      );
    return {
      kind: "NetworkPolicy",
      metadata: metadata(i),
      spec: clean({
        podSelector: selector(),
        policyTypes: maybe(() =>
          pick<("Ingress" | "Egress")[]>([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
        ) as ("Ingress" | "Egress")[],
        ingress: some(2, () => clean({ from: some(2, peer), ports: some(2, port) })),
        egress: some(2, () => clean({ to: some(2, peer), ports: some(2, port) })),
      }),
    };
  };

  const cilium = (i: number): CiliumNetworkPolicy => {
    const rule = (word: "from" | "to"): CiliumRule => {
      const entity = () =>
        pick([
          "all",
          "world",
          "world-ipv4",
          "world-ipv6",
          "cluster",
          "host",
          "remote-node",
          "none",
        ]);
      const endpoint = (): LabelSelector => {
        const { matchLabels, matchExpressions } = selector();
        const ns = below(2) ? { "k8s:io.kubernetes.pod.namespace": "blue" } : {};
        return clean({
          matchLabels: { ...matchLabels, ...ns },
          matchExpressions: matchExpressions!,
        });
      };
      const peers = pick<() => Record<string, unknown>>([
        () => ({}),
        () => ({ [`${word}Endpoints`]: some(2, endpoint) }),
        () => ({ [`${word}CIDR`]: some(2, () => block().cidr) }),
        () => ({ [`${word}CIDRSet`]: some(2, block) }),
        () => ({ [`${word}Entities`]: some(2, entity) }),
      ])();
      const ports = pick<() => CiliumRule>([
        () => ({}),
        () => ({
          toPorts: [{
            ports: some(
              2,
              () =>
                pick<() => { port: string; endPort?: number; protocol?: "TCP" | "UDP" | "ANY" }>([
                  () => ({ port: pick(["80", "8080", "0", "http"]) }),
                  () => ({ port: pick(["53", "http", "0"]), protocol: pick(["TCP", "UDP"]) }),
                  () => {
                    const { port, endPort } = range();
                    return { port: `${port}`, endPort, protocol: pick(["TCP", "UDP", "ANY"]) };
                  },
                  () => ({ port: "0", endPort: pick([79, 1024]), protocol: pick(["TCP", "ANY"]) }),
                ])(),
            ),
          }],
        }),
        () => ({
          icmps: [{ fields: [{ family: pick(["IPv4", "IPv6"]), type: pick([8, 0, 128]) }] }],
        }),
      ])();
      return { ...peers, ...ports };
    };
    return {
      kind: "CiliumNetworkPolicy",
      metadata: metadata(i),
      spec: clean<CiliumPolicySpec>({
        endpointSelector: selector(),
        ingress: some(2, () => rule("from")),
        ingressDeny: some(1, () => rule("from")),
        egress: some(2, () => rule("to")),
        egressDeny: some(1, () => rule("to")),
        enableDefaultDeny: maybe(() => ({ ingress: below(2) === 0 }))!,
      }),
    };
  };
  return { pick, policy: (i: number): PolicyResource => below(2) ? k8s(i) : cilium(i) };
}

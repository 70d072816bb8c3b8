/** What policies say of a flow, without any of the product's policy code. */

import { cidrContains, parseCidr, parseIp } from "../../../../datapath/net/ip.ts";
import type {
  CiliumNetworkPolicy,
  CiliumRule,
  LabelSelector,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  PolicyResource,
} from "../../../kubernetes/resources.ts";
import type { Direction } from "../cookies.ts";
import { NAMESPACES, type TestPod } from "./manifests.ts";

/** The other side of a flow: a pod, an entity with a reserved identity, or an address outside. */
export type Other = { pod: TestPod } | { reserved: string; id: number } | { ip: string };
export interface Flow {
  other: Other;
  direction: Direction;
  protocol: number;
  port: number;
}

const NUMBERS: Record<string, number> = { TCP: 6, UDP: 17, SCTP: 132 };

/** The oracle: the specifications read word by word, on manifests, pods and addresses. */
export const oracle = {
  selector(selector: LabelSelector, labels: Record<string, string>): boolean {
    for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
      if (labels[key] !== value) return false;
    }
    for (const { key, operator, values } of selector.matchExpressions ?? []) {
      const has = key in labels;
      const among = has && (values ?? []).includes(labels[key]!);
      if (operator === "In" && !among) return false;
      if (operator === "NotIn" && among) return false;
      if (operator === "Exists" && !has) return false;
      if (operator === "DoesNotExist" && has) return false;
    }
    return true;
  },

  inBlock(ip: string, cidr: string, except: string[] = []): boolean {
    const address = parseIp(ip);
    return cidr.includes(":") === ip.includes(":") && cidrContains(parseCidr(cidr), address) &&
      !except.some((inner) => cidrContains(parseCidr(inner), address));
  },

  k8sPeer(peer: NetworkPolicyPeer, namespace: string, other: Other): boolean {
    if (peer.ipBlock) {
      return "ip" in other && oracle.inBlock(other.ip, peer.ipBlock.cidr, peer.ipBlock.except);
    }
    if (!("pod" in other)) return false;
    const { pod } = other;
    if (peer.namespaceSelector) {
      const labels = {
        ...NAMESPACES[pod.namespace],
        "kubernetes.io/metadata.name": pod.namespace,
      };
      if (!oracle.selector(peer.namespaceSelector, labels)) return false;
    } else if (pod.namespace !== namespace) {
      return false;
    }
    return oracle.selector(peer.podSelector ?? {}, pod.podLabels);
  },

  named(name: string, protocol: number, subject: TestPod, flow: Flow): boolean {
    const responder = flow.direction === "ingress"
      ? subject
      : "pod" in flow.other
      ? flow.other.pod
      : undefined;
    return (responder?.namedPorts ?? []).some((port) =>
      port.name === name && NUMBERS[port.protocol] === flow.protocol && port.port === flow.port &&
      (protocol === 0 || protocol === flow.protocol)
    );
  },

  k8sPort(rule: NetworkPolicyPort, subject: TestPod, flow: Flow): boolean {
    const protocol = NUMBERS[rule.protocol ?? "TCP"]!;
    if (typeof rule.port === "string") return oracle.named(rule.port, protocol, subject, flow);
    if (flow.protocol !== protocol) return false;
    if (rule.port === undefined) return true;
    return flow.port >= rule.port && flow.port <= (rule.endPort ?? rule.port);
  },

  /** [allows, denies, has default deny] */
  k8s(policy: NetworkPolicy, subject: TestPod, flow: Flow): [boolean, boolean, boolean] {
    const { spec = {}, metadata } = policy;
    if (metadata.namespace !== subject.namespace) return [false, false, false];
    if (!oracle.selector(spec.podSelector ?? {}, subject.podLabels)) return [false, false, false];
    const types = spec.policyTypes ?? (spec.egress?.length ? ["Ingress", "Egress"] : ["Ingress"]);
    if (!types.includes(flow.direction === "ingress" ? "Ingress" : "Egress")) {
      return [false, false, false];
    }
    const rules = flow.direction === "ingress"
      ? (spec.ingress ?? []).map((rule) => ({ peers: rule.from, ports: rule.ports }))
      : (spec.egress ?? []).map((rule) => ({ peers: rule.to, ports: rule.ports }));
    const allows = rules.some(({ peers, ports }) =>
      (!peers?.length ||
        peers.some((peer) => oracle.k8sPeer(peer, metadata.namespace, flow.other))) &&
      (!ports?.length || ports.some((port) => oracle.k8sPort(port, subject, flow)))
    );
    return [allows, false, true];
  },

  entity(entity: string, other: Other): boolean {
    const isWorld = "ip" in other || ("reserved" in other && other.reserved.startsWith("world"));
    switch (entity) {
      case "all":
        return true;
      case "none":
        return false;
      case "cluster":
        return !isWorld;
      case "world":
        return isWorld;
      case "world-ipv4":
      case "world-ipv6": {
        if ("ip" in other) return other.ip.includes(":") === (entity === "world-ipv6");
        return "reserved" in other && other.reserved === entity;
      }
      default:
        return "reserved" in other && other.reserved === entity;
    }
  },

  ciliumRule(rule: CiliumRule, namespace: string, subject: TestPod, flow: Flow): boolean {
    const word = flow.direction === "ingress" ? "from" : "to";
    const { other } = flow;
    const endpoints = rule[`${word}Endpoints`];
    const cidrs = rule[`${word}CIDR`];
    const sets = rule[`${word}CIDRSet`];
    const entities = rule[`${word}Entities`];
    const namesPeers = endpoints || cidrs || sets || entities;
    const namesPorts = rule.toPorts?.length || rule.icmps?.length;
    if (!namesPeers && !namesPorts) return false;
    const peer = !namesPeers ||
      endpoints?.some((selector) => {
        if (!("pod" in other)) return false;
        const labels: Record<string, string> = {
          ...other.pod.podLabels,
          "k8s:io.kubernetes.pod.namespace": other.pod.namespace,
        };
        const speaks = selector.matchLabels?.["k8s:io.kubernetes.pod.namespace"] !== undefined;
        return (speaks || other.pod.namespace === namespace) && oracle.selector(selector, labels);
      }) ||
      cidrs?.some((cidr) => "ip" in other && oracle.inBlock(other.ip, cidr)) ||
      sets?.some((set) => "ip" in other && oracle.inBlock(other.ip, set.cidr!, set.except)) ||
      entities?.some((entity) => oracle.entity(entity, other));
    if (!peer) return false;
    if (!namesPorts) return true;
    const ports = rule.toPorts?.some((toPort) =>
      toPort.ports?.some(({ port, endPort, protocol = "ANY" }) => {
        const number = protocol === "ANY" ? 0 : NUMBERS[protocol]!;
        if (!/^[0-9]+$/.test(port)) return oracle.named(port, number, subject, flow);
        if (number !== 0 && number !== flow.protocol) return false;
        if (![6, 17, 132].includes(flow.protocol)) return false;
        const last = endPort ?? (Number(port) || 65535);
        return flow.port >= Number(port) && flow.port <= last;
      })
    );
    const icmp = rule.icmps?.flatMap(({ fields }) => fields ?? []).some(({ family, type }) =>
      flow.protocol === (family === "IPv6" ? 58 : 1) && flow.port === type
    );
    return Boolean(ports || icmp);
  },

  cilium(policy: CiliumNetworkPolicy, subject: TestPod, flow: Flow): [boolean, boolean, boolean] {
    const { spec, metadata: { namespace } } = policy;
    if (!spec || namespace !== subject.namespace) return [false, false, false];
    if (!oracle.selector(spec.endpointSelector!, subject.podLabels)) return [false, false, false];
    const allow = spec[flow.direction] ?? [];
    const deny = spec[`${flow.direction}Deny`] ?? [];
    const matches = (rule: CiliumRule) => oracle.ciliumRule(rule, namespace, subject, flow);
    return [
      allow.some(matches),
      deny.some(matches),
      spec.enableDefaultDeny?.[flow.direction] ?? allow.length + deny.length > 0,
    ];
  },

  verdict(policies: PolicyResource[], subject: TestPod, flow: Flow): "allow" | "deny" {
    let allowed = flow.direction === "ingress" && "reserved" in flow.other &&
        flow.other.reserved === "host",
      enforced = false;
    for (const policy of policies) {
      const [allows, denies, enforces] = policy.kind === "NetworkPolicy"
        ? oracle.k8s(policy, subject, flow)
        : oracle.cilium(policy as CiliumNetworkPolicy, subject, flow);
      if (denies) return "deny";
      allowed ||= allows;
      enforced ||= enforces;
    }
    return allowed || !enforced ? "allow" : "deny";
  },
};

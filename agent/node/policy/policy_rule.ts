/** What policies of all kinds become: one kind of rule. */

import { type Cidr, parseCidr } from "../../../datapath/net/ip.ts";
import { isIdentityLabel, NAMESPACE_LABEL } from "../../cluster/labels.ts";
import type { PolicyResource } from "../../kubernetes/resources.ts";
import type { Direction } from "./cookies.ts";
import type { Requirement, Selector } from "./selector.ts";

/** Stands for any protocol. */
export const ANY_PROTOCOL = 0;

/** Who is on the other side. */
export type Peer =
  | { kind: "selector"; selector: Selector }
  | { kind: "cidr"; cidr: Cidr; except: readonly Cidr[] }
  | { kind: "entity"; entity: string };

/** Ports of a protocol; the port of ICMP is its type. Protocol 0 is any, with all its ports. */
export type PortMatch =
  | { kind: "all"; protocol: number }
  | { kind: "range"; protocol: number; first: number; last: number }
  /** Protocol 0: whichever the name's port has. */
  | { kind: "name"; protocol: number; name: string };

/** One rule: peers and ports must both match. */
export interface PolicyRule {
  direction: Direction;
  verdict: "allow" | "deny";
  peers: "any" | readonly Peer[];
  ports: readonly PortMatch[];
  /** Path within the manifest, such as `spec.ingress[0]`. */
  path: string;
  cookie: number;
}

/** A part of a policy that is not in force as written, or does not do what its writer may think. */
export interface PolicyProblem {
  /** Path within the manifest. */
  field: string;
  reason: "NotSupported" | "MatchesNothing" | "LabelNotKnown" | "OtherNamespace";
  message: string;
}

/** One specification of a policy. */
export interface CompiledPolicy {
  kind: PolicyResource["kind"];
  namespace: string;
  name: string;
  /** `spec`, or `specs[1]`. */
  path: string;
  /** The endpoints that it is about. */
  subject: Selector;
  /** The directions in which what no rule allows is denied. */
  enforces: Record<Direction, boolean>;
  rules: readonly PolicyRule[];
  problems: readonly PolicyProblem[];
}

/** Any port of any protocol. */
export const ALL: readonly PortMatch[] = [{ kind: "all", protocol: ANY_PROTOCOL }];

/** Pods of the namespace. */
export function inNamespace(namespace: string): Requirement {
  return { source: "k8s", key: NAMESPACE_LABEL, operator: "In", values: [namespace] };
}
/** Any pod, and nothing else. */
export const IN_ANY_NAMESPACE: Requirement = {
  source: "k8s",
  key: NAMESPACE_LABEL,
  operator: "Exists",
  values: [],
};

/** The policy in words. */
export function title(kind: string, namespace: string, name: string): string {
  return `${kind} ${namespace === "" ? name : `${namespace}/${name}`}`;
}

export function cidrPeer(cidr: string, except: readonly string[] = []): Peer {
  return { kind: "cidr", cidr: parseCidr(cidr), except: except.map(parseCidr) };
}

/** The prefixes that the policies name, the excepted ones among them: each needs an identity. */
export function policyCidrs(policies: Iterable<CompiledPolicy>): Cidr[] {
  const cidrs: Cidr[] = [];
  for (const { rules } of policies) {
    for (const { peers } of rules) {
      if (peers === "any") continue;
      for (const peer of peers) if (peer.kind === "cidr") cidrs.push(peer.cidr, ...peer.except);
    }
  }
  return cidrs;
}

/** Says of a selector that it speaks of labels which pods' identities leave out. */
export function unknownLabels(field: string, selector: Selector): PolicyProblem[] {
  const keys = selector
    .filter(({ source, key }) => (source ?? "k8s") === "k8s" && !isIdentityLabel(key))
    .map(({ key }) => key);
  if (keys.length === 0) return [];
  const [labels, are] = keys.length === 1 ? ["label", "is"] : ["labels", "are"];
  const message =
    `${field}: the ${labels} ${keys.join(", ")} ${are} no part of identities, so it ` +
    "selects as if no pod had them; give those pods a label of your own";
  return [{ field, reason: "LabelNotKnown", message }];
}

/** CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy, with the fields of Cilium 1.18. */

import { ICMP_TYPES } from "./icmp_types.ts";
import { exceptOutside } from "./network_policy.ts";
import { cidr, cidrOrIp, ciliumSelector, type Normalised, resource } from "./resource_schema.ts";
import {
  anything,
  boolean,
  type Infer,
  integer,
  list,
  numberOrText,
  object,
  type ObjectOf,
  oneOf,
  refine,
  type Schema,
  text,
} from "./schema.ts";

/** Items of a list that Cilium takes. */
const MAX_ITEMS = 40;

/** A list of so many. */
function shortList<Item>(item: Schema<Item>): Schema<Item[]> {
  return refine(
    list(item),
    ({ length }) =>
      length > MAX_ITEMS ? `has ${length} items, and ${MAX_ITEMS} are the most` : undefined,
  );
}

const ciliumCidrs = list(refine(
  object({
    cidr,
    except: list(cidr),
    cidrGroupRef: text(),
    cidrGroupSelector: ciliumSelector,
  }),
  (rule) => {
    const given = [rule.cidr, rule.cidrGroupRef, rule.cidrGroupSelector].filter((each) => each);
    if (given.length === 0) return "names no prefix; give cidr";
    return given.length > 1
      ? "must have one of cidr, cidrGroupRef and cidrGroupSelector"
      : exceptOutside(rule);
  },
));

/** A service name of IANA, RFC 6335, in any case; 0x10 is one, too. */
function isPortName(text: string): boolean {
  return /^[a-z0-9-]{1,15}$/i.test(text) && /[a-z]/i.test(text) && !/^-|--|-$/.test(text);
}

/** The number of a port that is no name; 0120 is 80, as Go reads numbers. */
export function portNumber(text: string): number | undefined {
  if (/^0[0-7]*$/.test(text)) return parseInt(text, 8);
  return /^[1-9][0-9]*$/.test(text) ? Number(text) : undefined;
}

const dnsName = text(
  "a name such as example.com",
  (value) => value.length <= 255 && /^[-\w]+(\.[-\w]+)*\.?$/.test(value),
);
const dnsPattern = text(
  "a pattern such as *.example.com",
  (value) => value.length <= 255 && /^[-\w*]+(\.[-\w*]+)*\.?$/.test(value),
);
const serverName = text(
  "a server name such as *.example.com",
  (value) => /^(\*{1,2}\.)?[-\w]+(\.[-\w]+)*\.?$/.test(value),
);
const dnsRules = list(refine(
  object({ matchName: dnsName, matchPattern: dnsPattern }),
  ({ matchName, matchPattern }) =>
    (matchName === undefined) === (matchPattern === undefined)
      ? "must have one of matchName and matchPattern"
      : undefined,
));
/** Protocols above TCP and UDP; `l7` belongs to `l7proto`. */
const L7_PROTOCOLS = ["dns", "http", "kafka", "l7proto"] as const;
const l7Rules = refine(
  object({ dns: dnsRules, http: anything, kafka: anything, l7: anything, l7proto: anything }),
  (rules) =>
    L7_PROTOCOLS.filter((protocol) => rules[protocol] !== undefined).length === 1
      ? undefined
      : `must have one of ${L7_PROTOCOLS.join(", ")}`,
);
const ports = shortList(refine(
  object({
    port: text(
      "a port from 0 to 65535 or a port name of at most 15 letters, digits and '-', in quotes",
      (value) => isPortName(value) || (portNumber(value) ?? Infinity) <= 65535,
    ),
    endPort: integer(0, 65535),
    protocol: refine(
      oneOf("TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "ANY"),
      (protocol) =>
        protocol.startsWith("ICMP") ? `is ${protocol}, which has no ports; use icmps` : undefined,
    ),
  }, { required: ["port"] }),
  ({ port, endPort }) => {
    if (!endPort) return undefined;
    const first = portNumber(port);
    if (first === undefined) return "has an endPort, which needs a port that is a number";
    return endPort < first ? `has endPort ${endPort}, which is less than port ${first}` : undefined;
  },
));
const toPort = refine(
  object({
    ports,
    rules: l7Rules,
    terminatingTLS: anything,
    originatingTLS: anything,
    serverNames: list(serverName),
    listener: anything,
  }),
  ({ ports, rules }) =>
    rules?.dns?.length && !ports?.length ? "has rules.dns, which need a port" : undefined,
);
const toPorts = list(toPort);
/** Ports of a rule. */
export type CiliumToPort = Infer<typeof toPort>;
const ingressToPorts = list(refine(
  toPort,
  ({ rules }) => rules?.dns?.length ? "has rules.dns, which are for egress" : undefined,
));
const entities = list(oneOf(
  "all",
  "world",
  "world-ipv4",
  "world-ipv6",
  "cluster",
  "cluster-mesh",
  "host",
  "init",
  "ingress",
  "unmanaged",
  "remote-node",
  "health",
  "none",
  "kube-apiserver",
));

const icmps = list(object({
  fields: shortList(refine(
    object({
      family: oneOf("IPv4", "IPv6"),
      type: numberOrText(integer(0, 255), text("an ICMP type")),
    }, { required: ["type"] }),
    ({ family, type }) => {
      if (typeof type === "number" || /^[0-9]{1,3}$/.test(type) && Number(type) <= 255) {
        return undefined;
      }
      if (Object.hasOwn(ICMP_TYPES[family ?? "IPv4"], type)) return undefined;
      return `has the unknown ${family ?? "IPv4"} ICMP type ${type}; give its number`;
    },
  )),
}));

const from = {
  fromEndpoints: list(ciliumSelector),
  fromCIDR: list(cidrOrIp),
  fromCIDRSet: ciliumCidrs,
  fromEntities: entities,
  fromNodes: list(anything),
  fromGroups: list(anything),
  fromRequires: list(anything),
};
const to = {
  toEndpoints: list(ciliumSelector),
  toCIDR: list(cidrOrIp),
  toCIDRSet: ciliumCidrs,
  toEntities: entities,
  toNodes: list(anything),
  toGroups: list(anything),
  toRequires: list(anything),
  toServices: list(anything),
};
/** Of rules that allow. */
const authentication = object({ mode: oneOf("disabled", "required", "test-always-fail") }, {
  required: ["mode"],
});
const allow = { toPorts, icmps, authentication };
const egress = { ...to, ...allow, toFQDNs: list(anything) };
/** A rule of any of the four lists: the `from…` fields are of ingress, the `to…` ones of egress. */
export type CiliumRule = ObjectOf<typeof from & typeof egress>;

/** Fields of which a rule may have one: each says by itself who the peers are. */
const PEERS = [
  ...["fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities", "fromNodes", "fromGroups"],
  ...["toEndpoints", "toCIDR", "toCIDRSet", "toEntities", "toNodes", "toGroups"],
  ...["toServices", "toFQDNs"],
] as (keyof CiliumRule)[];

/** What Cilium's validation says of a rule's fields together. */
function ruleFault(rule: CiliumRule): string | undefined {
  const given = (field: keyof CiliumRule) => (rule[field] as unknown[] | undefined)?.length;
  const peers = PEERS.filter(given);
  if (peers.length > 1) return `has ${peers.join(" and ")} together; make it two rules`;
  return given("icmps") && given("toPorts")
    ? "has icmps and toPorts together; make it two rules"
    : undefined;
}

const rules: Record<"ingress" | "ingressDeny" | "egress" | "egressDeny", Schema<CiliumRule>> = {
  ingress: object({ ...from, ...allow, toPorts: ingressToPorts }),
  ingressDeny: object({ ...from, icmps, toPorts: list(object({ ports })) }),
  egress: object(egress),
  egressDeny: object({ ...to, icmps, toPorts: list(object({ ports })) }),
};

function ciliumSpec(clusterwide: boolean) {
  return refine(
    object({
      endpointSelector: ciliumSelector,
      nodeSelector: ciliumSelector,
      ingress: list(refine(rules.ingress, ruleFault)),
      ingressDeny: list(refine(rules.ingressDeny, ruleFault)),
      egress: list(refine(rules.egress, ruleFault)),
      egressDeny: list(refine(rules.egressDeny, ruleFault)),
      enableDefaultDeny: object({ ingress: boolean, egress: boolean }),
      description: text(),
    }, { unused: ["labels", "log"] }),
    ({ endpointSelector, nodeSelector, ingress, ingressDeny, egress, egressDeny }) => {
      if (![ingress, ingressDeny, egress, egressDeny].some((rules) => rules?.length)) {
        return "has no rules, which denies nothing; `ingress: [{}]` denies all that comes in";
      }
      if (nodeSelector && !clusterwide) {
        return "has a nodeSelector, which is for CiliumClusterwideNetworkPolicy alone";
      }
      if (!endpointSelector === !nodeSelector) {
        return "must have one of endpointSelector and nodeSelector ({} selects all)";
      }
      return undefined;
    },
  );
}
function ciliumPolicy(clusterwide: boolean) {
  const spec = ciliumSpec(clusterwide);
  return refine(
    resource({ spec, specs: list(spec) }, [], { namespaced: !clusterwide }),
    (value) => value.spec || value.specs ? undefined : "must have spec or specs",
  );
}

export const ciliumPolicySchema = ciliumPolicy(false);
export const ciliumClusterwidePolicySchema = ciliumPolicy(true);

export type CiliumPolicySpec = Infer<ReturnType<typeof ciliumSpec>>;

type Policy = Infer<typeof ciliumPolicySchema>;

export type CiliumNetworkPolicy = Normalised<"CiliumNetworkPolicy", Policy>;

export type CiliumClusterwideNetworkPolicy = Normalised<"CiliumClusterwideNetworkPolicy", Policy>;

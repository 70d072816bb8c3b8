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

const ciliumCidrs = list(refine(
  object({
    cidr,
    except: list(cidr),
    cidrGroupRef: text(),
    cidrGroupSelector: ciliumSelector,
  }),
  (rule) => {
    if (rule.cidr || rule.cidrGroupRef || rule.cidrGroupSelector) return exceptOutside(rule);
    return "names no prefix; give cidr";
  },
));
const ciliumToPorts = list(object({
  ports: list(refine(
    object({
      port: text(
        "a port from 0 to 65535 or a port name, in quotes",
        (value) =>
          /^[0-9]+$/.test(value) ? Number(value) <= 65535 : /^[a-z0-9-]{1,63}$/.test(value),
      ),
      endPort: integer(0, 65535),
      protocol: oneOf("TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "ANY"),
    }, { required: ["port"] }),
    ({ port, endPort }) => {
      if (!endPort) return undefined;
      if (!/^[0-9]+$/.test(port)) return "has an endPort, which needs a port that is a number";
      return endPort < Number(port)
        ? `has endPort ${endPort}, which is less than port ${port}`
        : undefined;
    },
  )),
  rules: anything,
  terminatingTLS: anything,
  originatingTLS: anything,
  serverNames: list(text()),
  listener: anything,
}));
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
  fields: list(refine(
    object({
      family: oneOf("IPv4", "IPv6"),
      type: numberOrText(integer(0, 255), text("an ICMP type")),
    }, { required: ["type"] }),
    ({ family, type }) => {
      if (typeof type === "number" || /^[0-9]{1,3}$/.test(type)) return undefined;
      if (Object.hasOwn(ICMP_TYPES[family ?? "IPv4"], type)) return undefined;
      return `has the unknown ${family ?? "IPv4"} ICMP type ${type}; give its number`;
    },
  )),
}));

const common = { toPorts: ciliumToPorts, icmps };
const from = {
  fromEndpoints: list(ciliumSelector),
  fromCIDR: list(cidrOrIp),
  fromCIDRSet: ciliumCidrs,
  fromEntities: entities,
  fromNodes: list(anything),
  fromGroups: list(anything),
  fromRequires: list(anything),
  ...common,
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
  ...common,
};
/** Of rules that allow. */
const allow = { authentication: anything };
const egress = { ...to, ...allow, toFQDNs: list(anything) };
/** A rule of any of the four lists: the `from…` fields are of ingress, the `to…` ones of egress. */
export type CiliumRule = ObjectOf<typeof from & typeof egress>;

const rules: Record<"ingress" | "ingressDeny" | "egress" | "egressDeny", Schema<CiliumRule>> = {
  ingress: object({ ...from, ...allow }),
  ingressDeny: object(from),
  egress: object(egress),
  egressDeny: object(to),
};

function ciliumSpec(clusterwide: boolean) {
  return refine(
    object({
      endpointSelector: ciliumSelector,
      nodeSelector: ciliumSelector,
      ingress: list(rules.ingress),
      ingressDeny: list(rules.ingressDeny),
      egress: list(rules.egress),
      egressDeny: list(rules.egressDeny),
      enableDefaultDeny: object({ ingress: boolean, egress: boolean }),
      description: text(),
    }, { unused: ["labels", "log"] }),
    ({ endpointSelector, nodeSelector }) => {
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
    resource({ spec, specs: list(spec) }),
    (value) => value.spec || value.specs ? undefined : "must have spec or specs",
  );
}

export const ciliumPolicySchema = ciliumPolicy(false);
export const ciliumClusterwidePolicySchema = ciliumPolicy(true);

export type CiliumPolicySpec = Infer<ReturnType<typeof ciliumSpec>>;

type Policy = Infer<typeof ciliumPolicySchema>;

export type CiliumNetworkPolicy = Normalised<"CiliumNetworkPolicy", Policy>;

export type CiliumClusterwideNetworkPolicy = Normalised<"CiliumClusterwideNetworkPolicy", Policy>;

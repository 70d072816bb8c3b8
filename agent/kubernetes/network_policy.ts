/** NetworkPolicy, with the fields of Kubernetes 1.34. */

import { cidrContainsCidr, isIpv4Cidr, parseCidr } from "../../datapath/net/ip.ts";
import {
  cidr,
  givenProtocol,
  type Normalised,
  port,
  portName,
  resource,
  selector,
} from "./resource_schema.ts";
import { type Infer, list, numberOrText, object, oneOf, refine } from "./schema.ts";

/** What is wrong with the exceptions of a prefix. */
export function exceptOutside({ cidr, except }: { cidr?: string; except?: string[] }) {
  if (!cidr) return undefined;
  const outer = parseCidr(cidr);
  const outside = except?.map((text) => [text, parseCidr(text)] as const).find(([, inner]) =>
    isIpv4Cidr(inner) !== isIpv4Cidr(outer) || !cidrContainsCidr(outer, inner)
  )?.[0];
  return outside === undefined ? undefined : `excepts ${outside}, which is not within ${cidr}`;
}

/** An exception must leave something of the prefix. */
function exceptAll({ cidr, except }: { cidr: string; except?: string[] }) {
  const { prefixLength } = parseCidr(cidr);
  const all = except?.find((inner) => parseCidr(inner).prefixLength === prefixLength);
  return all === undefined ? undefined : `excepts ${all}, which is all of ${cidr}`;
}

const networkPolicyPorts = list(refine(
  object({ protocol: givenProtocol, port: numberOrText(port, portName), endPort: port }),
  ({ port, endPort }) => {
    if (endPort === undefined || endPort === null) return undefined;
    if (typeof port !== "number") return "has an endPort, which needs a port that is a number";
    return endPort < port ? `has endPort ${endPort}, which is less than port ${port}` : undefined;
  },
));
const networkPolicyPeers = list(refine(
  object({
    podSelector: selector,
    namespaceSelector: selector,
    ipBlock: refine(
      object({ cidr, except: list(cidr) }, { required: ["cidr"] }),
      (block) => exceptOutside(block) ?? exceptAll(block),
    ),
  }),
  ({ podSelector, namespaceSelector, ipBlock }) => {
    if (ipBlock && (podSelector || namespaceSelector)) {
      return "has an ipBlock with a selector; make it two entries of the list";
    }
    if (ipBlock || podSelector || namespaceSelector) return undefined;
    return "names no peer; give podSelector, namespaceSelector or ipBlock ({} selects all)";
  },
));

export const networkPolicySchema = resource({
  spec: object({
    podSelector: selector,
    policyTypes: refine(
      list(oneOf("Ingress", "Egress")),
      ({ length }) => length > 2 ? `has ${length} items, and there are two` : undefined,
    ),
    ingress: list(object({ from: networkPolicyPeers, ports: networkPolicyPorts })),
    egress: list(object({ to: networkPolicyPeers, ports: networkPolicyPorts })),
  }),
});

export type NetworkPolicy = Normalised<"NetworkPolicy", Infer<typeof networkPolicySchema>>;

export type NetworkPolicyPort = Infer<typeof networkPolicyPorts>[number];

export type NetworkPolicyPeer = Infer<typeof networkPolicyPeers>[number];

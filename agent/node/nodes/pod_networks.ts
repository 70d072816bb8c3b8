/** Where a node's pods get their addresses. */

import {
  type Cidr,
  cidrAddress,
  isIpv4Cidr,
  maskCidr,
  parseCidr,
} from "../../../datapath/net/ip.ts";
import { isForPods } from "../option_kinds.ts";
import type { ClusterNode } from "../../cluster/rows.ts";

/** Of a node; at most one of each family. */
export type PodNetworks = Pick<
  ClusterNode,
  "podCidrIpv4" | "podCidrIpv6" | "routerIpv4" | "routerIpv6"
>;

/** The first prefix of each family that is for pods. Throws TypeError when one is none. */
export function podNetworks(prefixes: readonly string[]): PodNetworks {
  const networks: PodNetworks = {};
  for (const cidr of prefixes.map((text) => maskCidr(parseCidr(text)))) {
    if (!isForPods(cidr)) continue;
    const router = cidrAddress(cidr, 1);
    if (isIpv4Cidr(cidr)) {
      if (networks.podCidrIpv4) continue;
      networks.podCidrIpv4 = cidr;
      networks.routerIpv4 = router;
    } else if (!networks.podCidrIpv6) {
      networks.podCidrIpv6 = cidr;
      networks.routerIpv6 = router;
    }
  }
  return networks;
}

/** The prefixes. */
export function podCidrsOf({ podCidrIpv4, podCidrIpv6 }: PodNetworks): Cidr[] {
  return [podCidrIpv4, podCidrIpv6].filter((cidr) => cidr !== undefined);
}

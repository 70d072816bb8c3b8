/** What of the API server's objects is for this node. */

import { KINDS } from "../../kubernetes/kinds.ts";
import type { ResourceKind } from "../../kubernetes/resources.ts";
import type { WatchedKind } from "../../kubernetes/watch/watched_kind.ts";

/** Services that are another proxy's, and headless ones, as kube-proxy leaves them out. */
const SERVED = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";

/** A kind of the tables, and where the server has it. */
export interface SourceKind extends WatchedKind {
  kind: ResourceKind;
}

/** All kinds, what restricts first. Of pods those of the node alone: others say what theirs are. */
export function watchedKinds(nodeName: string): SourceKind[] {
  const watched = (
    kind: ResourceKind,
    resource: string,
    more: Omit<WatchedKind, "kind" | "apiVersion" | "resource"> = {},
  ): SourceKind => {
    const { apiVersion } = KINDS[kind];
    return { kind, apiVersion, resource, ...more };
  };
  return [
    watched("NetworkPolicy", "networkpolicies"),
    watched("CiliumNetworkPolicy", "ciliumnetworkpolicies", { optional: true }),
    watched("CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies", {
      optional: true,
    }),
    watched("Namespace", "namespaces"),
    watched("Node", "nodes"),
    watched("Pod", "pods", { fieldSelector: `spec.nodeName=${nodeName}` }),
    watched("EndpointSlice", "endpointslices", { labelSelector: SERVED }),
    watched("Service", "services", { labelSelector: SERVED }),
  ];
}

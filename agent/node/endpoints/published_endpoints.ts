/** What the endpoints of this node are to other nodes. */

import { formatIp } from "../../../datapath/net/ip.ts";
import { podKey } from "../../api/endpoint.ts";
import {
  type ClusterNode,
  type PublishedEndpoint,
  publishedEndpointKey,
} from "../../cluster/rows.ts";
import { derive } from "../../core/derive.ts";
import { Table } from "../../core/table.ts";
import type { Pod } from "../../kubernetes/resources.ts";
import { isNewer } from "./endpoint_ids.ts";
import type { IdentifiedEndpoint } from "../identity/endpoint_identities.ts";

/** Tables that {@linkcode derivePublished} reads. */
export interface PublishedInputs {
  identified: Table<IdentifiedEndpoint>;
  pods: Table<Pod>;
  nodes: Table<ClusterNode>;
  /** This node as it is in `nodes`, or was. */
  self: () => ClusterNode;
}

/** Wires the endpoints that belong to a pod to what is published of them. */
export function derivePublished(
  { identified, pods, nodes, self }: PublishedInputs,
): Disposable & { published: Table<PublishedEndpoint> } {
  const published = new Table<PublishedEndpoint>({
    name: "published-endpoints",
    key: publishedEndpointKey,
  });
  const derivation = derive(
    [identified, nodes],
    () => {
      const { ipv4, ipv6 } = self();
      const address = ipv4 ?? ipv6;
      if (!address) throw new Error("this node has no InternalIP by which others could know it");
      const node = formatIp(address);
      const byPod = new Map<string, IdentifiedEndpoint>();
      for (const row of identified.rows()) {
        const key = podKey(row.endpoint);
        // a pod's newest sandbox is the pod's: an older one is dead, and its DEL is late
        if (!key) continue;
        const other = byPod.get(key);
        if (!other || isNewer(row.endpoint.id, other.endpoint.id)) byPod.set(key, row);
      }
      return [...byPod.values()].map((row) => publishedEndpoint(row, pods, node));
    },
    published,
  );
  return { published, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}

function publishedEndpoint(
  { endpoint, identity, labels, namedPorts, serviceAccount }: IdentifiedEndpoint,
  pods: Table<Pod>,
  node: string,
): PublishedEndpoint {
  const { id, namespace, pod, ipv4, ipv6 } = endpoint;
  return {
    id,
    namespace,
    pod,
    labels: pods.get(`${namespace}/${pod}`)?.metadata.labels ?? {},
    identity,
    identityLabels: labels,
    ...(ipv4 ? { ipv4 } : {}),
    ...(ipv6 ? { ipv6 } : {}),
    node,
    namedPorts,
    serviceAccount,
  };
}

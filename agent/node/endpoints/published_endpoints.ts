/** What the endpoints of this node are to other nodes. */

import { formatLabels } from "../../cluster/labels.ts";
import { derive } from "../../core/derive.ts";
import { Table } from "../../core/table.ts";
import type { CiliumEndpoint, Pod } from "../../kubernetes/resources.ts";
import type { IdentifiedEndpoint } from "../identity/endpoint_identities.ts";

/** Tables that {@linkcode derivePublished} reads, and the address under which this node is known. */
export interface PublishedInputs {
  identified: Table<IdentifiedEndpoint>;
  pods: Table<Pod>;
  /** InternalIP of this node, as text. */
  node: string;
}

/** Wires the endpoints that belong to a pod to what is published of them. */
export function derivePublished(
  { identified, pods, node }: PublishedInputs,
): Disposable & { published: Table<CiliumEndpoint> } {
  const published = new Table<CiliumEndpoint>({
    name: "published-endpoints",
    key: ({ metadata }) => `${metadata.namespace}/${metadata.name}`,
  });
  const derivation = derive(
    [identified],
    () =>
      identified.rows().filter(({ endpoint }) => endpoint.pod !== "")
        .map((row) => publishedEndpoint(row, pods, node)),
    published,
  );
  return { published, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}

function publishedEndpoint(
  { endpoint, identity, labels, namedPorts, serviceAccount }: IdentifiedEndpoint,
  pods: Table<Pod>,
  node: string,
): CiliumEndpoint {
  const { id, namespace, pod, ipv4, ipv6 } = endpoint;
  return {
    kind: "CiliumEndpoint",
    metadata: {
      name: pod,
      namespace,
      labels: pods.get(`${namespace}/${pod}`)?.metadata.labels ?? {},
    },
    status: {
      id,
      identity: { id: identity, labels: formatLabels(labels) },
      networking: {
        addressing: [{ ...(ipv4 ? { ipv4 } : {}), ...(ipv6 ? { ipv6 } : {}) }],
        node,
      },
      state: "ready",
      "named-ports": namedPorts,
      "service-account": serviceAccount,
    },
  };
}

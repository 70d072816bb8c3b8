/** Endpoints as CiliumEndpointSlices have them. */

import { formatIp, tryParseIp } from "../../../datapath/net/ip.ts";
import type { CiliumEndpointSlice, SliceEntry } from "../../kubernetes/cilium_endpoint_slice.ts";
import { DEFAULT_CLUSTER, type LabelMap, NAMESPACE_LABEL } from "../labels.ts";
import type { PublishedEndpoint, RemoteAddress } from "../rows.ts";

export function sliceEntry(row: PublishedEndpoint): SliceEntry {
  const { ipv4, ipv6, namedPorts, serviceAccount } = row;
  return {
    name: row.pod,
    id: row.identity,
    networking: {
      addressing: [{ ...(ipv4 ? { ipv4 } : {}), ...(ipv6 ? { ipv6 } : {}) }],
      node: row.node,
    },
    ...(namedPorts.length > 0 ? { "named-ports": [...namedPorts] } : {}),
    "endpoint-id": row.id,
    ...(serviceAccount ? { "service-account": serviceAccount } : {}),
    labels: { ...row.labels },
  };
}

/** The opposite of {@linkcode sliceEntry}; slices have no labels of identities. */
export function publishedEndpoint(
  namespace: string,
  entry: SliceEntry,
  identityLabels: LabelMap,
): PublishedEndpoint {
  const [addressing] = entry.networking.addressing;
  return {
    id: entry["endpoint-id"] ?? 0,
    namespace,
    pod: entry.name,
    labels: labelsOf(entry),
    identity: entry.id,
    identityLabels,
    ...(addressing?.ipv4 ? { ipv4: addressing.ipv4 } : {}),
    ...(addressing?.ipv6 ? { ipv6: addressing.ipv6 } : {}),
    node: entry.networking.node,
    namedPorts: entry["named-ports"] ?? [],
    serviceAccount: entry["service-account"] ?? "",
  };
}

const NO_PORTS: readonly never[] = [];

/** The addresses of a slice's endpoints. */
export function addressesOf({ namespace, endpoints }: CiliumEndpointSlice): RemoteAddress[] {
  return endpoints.flatMap((entry) => {
    const node = tryParseIp(entry.networking.node);
    if (!node) return [];
    const common = {
      identity: entry.id,
      node: formatIp(node),
      key: 0,
      cluster: DEFAULT_CLUSTER,
      pod: [namespace, entry.name].join("/"),
      labels: { ...labelsOf(entry), [NAMESPACE_LABEL]: namespace },
      namedPorts: entry["named-ports"]?.length ? entry["named-ports"] : NO_PORTS,
      ready: true,
    };
    return entry.networking.addressing.flatMap(({ ipv4, ipv6 }) =>
      [ipv4, ipv6].flatMap((text) => {
        const address = text ? tryParseIp(text) : undefined;
        return address ? [{ prefix: formatIp(address), ...common }] : [];
      })
    );
  });
}

function labelsOf({ labels = {} }: SliceEntry): LabelMap {
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, value ?? ""]));
}

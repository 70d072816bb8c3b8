/** The form of what nodes publish as files: manifests of CiliumEndpoint and CiliumIdentity. */

import { type Contents, readResources } from "../../kubernetes/manifest.ts";
import { PUBLISHED_KINDS } from "../../kubernetes/kinds.ts";
import type { CiliumEndpoint, CiliumIdentity } from "../../kubernetes/cilium_endpoint.ts";
import { formatIp, parseIp, tryParseIp } from "../../../datapath/net/ip.ts";
import { DEFAULT_CLUSTER, formatLabels, type LabelMap, parseLabels } from "../labels.ts";
import type { IdentityRow, PublishedEndpoint, RemoteAddress } from "../rows.ts";

/** The most bytes of a file: it has some endpoints, or one identity. */
export const MAX_PUBLISHED_BYTES = 1024 * 1024;

/** What a reader keeps of each resource. */
export interface PublishedReader<Entry> {
  endpoint: (value: CiliumEndpoint) => Entry;
  identity: (value: CiliumIdentity) => Entry;
}

/** Reads a file. A newer program may have written it: fields that are not known are let be. */
export function readPublished<Entry>(
  text: string,
  { endpoint, identity }: PublishedReader<Entry>,
): Contents<Entry> {
  return readResources<Entry>(text, {
    kinds: PUBLISHED_KINDS,
    unknownFields: "warning",
    form: "json",
    normalise: (kind, value) =>
      kind === "CiliumEndpoint"
        ? endpoint(value as unknown as CiliumEndpoint)
        : identity(value as unknown as CiliumIdentity),
  });
}

function manifest(kind: string, rest: Record<string, unknown>): Record<string, unknown> {
  return { apiVersion: "cilium.io/v2", kind, ...rest };
}

/** A file of endpoints, each as {@linkcode endpointText} and on a line. */
export function batchText(endpoints: Iterable<string>): string {
  return `{"apiVersion": "v1", "kind": "List", "items": [\n${[...endpoints].join(",\n")}\n]}\n`;
}

/** An endpoint as JSON in one line. */
export function endpointText(row: PublishedEndpoint): string {
  const { ipv4, ipv6 } = row;
  return JSON.stringify(manifest("CiliumEndpoint", {
    status: {
      id: row.id,
      identity: { id: row.identity, labels: formatLabels(row.identityLabels) },
      networking: {
        addressing: [{ ...(ipv4 ? { ipv4 } : {}), ...(ipv6 ? { ipv6 } : {}) }],
        node: row.node,
      },
      state: "ready",
      "named-ports": row.namedPorts,
      "service-account": row.serviceAccount,
    },
    metadata: { name: row.pod, labels: row.labels, namespace: row.namespace },
  }));
}

/** The opposite of {@linkcode endpointText}. */
export function endpointRow({ metadata, status }: CiliumEndpoint): PublishedEndpoint {
  const [addressing] = status.networking.addressing;
  return {
    id: status.id,
    namespace: metadata.namespace ?? "default",
    pod: metadata.name,
    labels: metadata.labels ?? {},
    identity: status.identity.id,
    identityLabels: parseLabels(status.identity.labels ?? []),
    ...(addressing?.ipv4 ? { ipv4: addressing.ipv4 } : {}),
    ...(addressing?.ipv6 ? { ipv6: addressing.ipv6 } : {}),
    node: status.networking.node,
    namedPorts: status["named-ports"] ?? [],
    serviceAccount: status["service-account"] ?? "",
  };
}

/** The file of an identity. */
export function identityText({ id, labels }: IdentityRow): string {
  const value = { metadata: { name: `${id}`, labels: {} }, "security-labels": labels };
  return JSON.stringify(manifest("CiliumIdentity", value), null, 2) + "\n";
}

export function identityRow(value: CiliumIdentity): IdentityRow {
  return { id: Number(value.metadata.name), labels: value["security-labels"] };
}

const NO_PORTS: readonly never[] = [];

/** So many label sets and nodes are worth keeping between scans. */
const REMEMBERED = 4096;

/** Makes rows of published endpoints; what many of them say is one object. */
export class AddressReader {
  readonly #labels = new Map<string, LabelMap>();
  readonly #nodes = new Map<string, string>();

  rows({ metadata, status }: CiliumEndpoint): RemoteAddress[] {
    const { identity, networking, state } = status;
    const common = {
      identity: identity.id,
      node: this.#node(networking.node),
      key: 0,
      cluster: DEFAULT_CLUSTER,
      pod: [metadata.namespace ?? "default", metadata.name].join("/"),
      labels: this.#labelsOf(metadata.labels ?? {}, identity.labels ?? []),
      namedPorts: status["named-ports"]?.length ? status["named-ports"] : NO_PORTS,
      ready: state === undefined || state === null || state === "ready",
    };
    return networking.addressing.flatMap(({ ipv4, ipv6 }) =>
      [ipv4, ipv6].flatMap((text) => {
        const address = text ? tryParseIp(text) : undefined;
        return address ? [{ prefix: formatIp(address), ...common }] : [];
      })
    );
  }

  /** Lets go of what it knows when that is much; rows keep what they have. */
  trim(): void {
    if (this.#labels.size > REMEMBERED) this.#labels.clear();
    if (this.#nodes.size > REMEMBERED) this.#nodes.clear();
  }

  #node(text: string): string {
    let node = this.#nodes.get(text);
    if (node === undefined) this.#nodes.set(text, node = formatIp(parseIp(text)));
    return node;
  }

  /** The pod's own labels, those of its identity first. */
  #labelsOf(own: LabelMap, identity: readonly string[]): LabelMap {
    const content = JSON.stringify([own, identity]);
    const known = this.#labels.get(content);
    if (known) return known;
    const ofIdentity = Object.entries(parseLabels(identity)).flatMap(([key, value]) =>
      key.startsWith("k8s:") ? [[key.slice("k8s:".length), value]] : []
    );
    const labels: LabelMap = { ...own, ...Object.fromEntries(ofIdentity) };
    this.#labels.set(content, labels);
    return labels;
  }
}

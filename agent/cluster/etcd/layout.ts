/** Where in etcd things are, and in which form: Cilium's, with some fields more. */

import { formatIp, tryParseIp } from "../../../datapath/net/ip.ts";
import {
  DEFAULT_CLUSTER,
  formatLabels,
  type LabelMap,
  NAMESPACE_LABEL,
  parseLabels,
} from "../labels.ts";
import type { IdentityRow, PublishedEndpoint, RemoteAddress } from "../rows.ts";

export const NUMBERS = "cilium/state/identities/v1/id/";
const REFERENCES = "cilium/state/identities/v1/value/";
export const ADDRESSES = "cilium/state/ip/v1/default/";

/** An address as nodes publish it. The fields from `Node` on are ours. */
interface AddressValue {
  IP: string;
  Mask: null;
  HostIP: string;
  ID: number;
  Key: number;
  Metadata: string;
  K8sNamespace: string;
  K8sPodName: string;
  K8sServiceAccount: string;
  NamedPorts: { Name: string; Port: number; Protocol: string }[];
  Node: string;
  EndpointID: number;
  Labels: LabelMap;
}

/** Labels as Cilium joins them: each ends with a semicolon. */
export function labelsValue(labels: LabelMap): string {
  return formatLabels(labels).map((label) => `${label};`).join("");
}

/** The key by which a node holds a number. */
export function referenceKey(labels: LabelMap, node: string): string {
  return `${REFERENCES}${labelsValue(labels)}/${node}`;
}

/** Undefined for a key that is no number's. */
export function identityRow(key: string, value: string): IdentityRow | undefined {
  const number = key.slice(NUMBERS.length);
  if (!/^[1-9][0-9]{0,9}$/.test(number)) return undefined;
  return {
    id: Number(number),
    labels: parseLabels(value.split(";").filter((text) => text !== "")),
  };
}

/** By key, what a node publishes of an endpoint: each of its addresses. */
export function addressEntries(
  row: PublishedEndpoint,
  node: string,
): [key: string, value: string][] {
  return [row.ipv4, row.ipv6].filter((ip) => ip !== undefined).map((IP) => {
    const value: AddressValue = {
      IP,
      Mask: null,
      HostIP: row.node,
      ID: row.identity,
      Key: 0,
      Metadata: "",
      K8sNamespace: row.namespace,
      K8sPodName: row.pod,
      K8sServiceAccount: row.serviceAccount,
      NamedPorts: row.namedPorts.map(({ name, port, protocol }) => ({
        ...{ Name: name, Port: port, Protocol: protocol },
      })),
      Node: node,
      EndpointID: row.id,
      Labels: row.labels,
    };
    return [ADDRESSES + IP, JSON.stringify(value)];
  });
}

/** What is published under a key. Throws when it has not the form. */
export function parseAddress(
  text: string,
): { node: string; row: PublishedEndpoint; address: RemoteAddress } {
  const value = JSON.parse(text) as Partial<AddressValue>;
  const ip = tryParseIp(value.IP ?? ""), host = tryParseIp(value.HostIP ?? "");
  if (!ip || !host || !Number.isInteger(value.ID)) {
    throw new TypeError("IP, HostIP and ID must be two addresses and a number");
  }
  const namespace = value.K8sNamespace ?? "", pod = value.K8sPodName ?? "";
  const namedPorts = (value.NamedPorts ?? []).map(({ Name, Port, Protocol }) => ({
    ...{ name: String(Name), port: Number(Port) },
    protocol: (Protocol === "UDP" || Protocol === "SCTP" ? Protocol : "TCP") as "TCP",
  }));
  const labels = value.Labels ?? {};
  const prefix = formatIp(ip);
  const node = formatIp(host);
  return {
    node: value.Node ?? "",
    row: {
      id: value.EndpointID ?? 0,
      ...{ namespace, pod, labels, namedPorts, identity: value.ID!, identityLabels: {} },
      ...(prefix.includes(":") ? { ipv6: prefix } : { ipv4: prefix }),
      node,
      serviceAccount: value.K8sServiceAccount ?? "",
    },
    address: {
      ...{ prefix, identity: value.ID!, node, key: value.Key ?? 0, cluster: DEFAULT_CLUSTER },
      pod: `${namespace}/${pod}`,
      labels: { ...labels, [NAMESPACE_LABEL]: namespace },
      ...{ namedPorts, ready: true },
    },
  };
}

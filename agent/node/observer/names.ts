/** Words for the numbers that programs use. */

import {
  ConnectionStatus,
  DropReason,
  EventType,
  ObservationPoint,
} from "../../../datapath/maps/generated.ts";

/** Why a packet was dropped, in words; by the reason's number. */
const REASONS: Record<number, string> = {
  [DropReason.IGNORED_MULTICAST]: "Multicast or link-local chatter",
  [DropReason.INVALID_SOURCE_IP]: "Invalid source IP",
  [DropReason.POLICY_DENIED_BY_DEFAULT]: "Policy denied",
  [DropReason.INVALID_PACKET]: "Invalid packet",
  [DropReason.CT_INVALID_HEADER]: "Truncated or invalid L4 header",
  [DropReason.FRAGMENTATION_NEEDED]: "Longer than the way to the backend allows",
  [DropReason.UNSUPPORTED_L3]: "Unsupported L3 protocol",
  [DropReason.WRITE_ERROR]: "Error while rewriting the packet",
  [DropReason.UNKNOWN_L4]: "Unknown L4 protocol",
  [DropReason.NO_TUNNEL_KEY]: "No tunnel key",
  [DropReason.UNROUTABLE]: "Address is of no endpoint here",
  [DropReason.CT_CREATE_FAILED]: "No room in the connection table",
  [DropReason.INVALID_EXTENSION_HEADER]: "Invalid IPv6 extension header",
  [DropReason.SERVICE_BACKEND_NOT_FOUND]: "Service has no backend",
  [DropReason.NO_TUNNEL_ENDPOINT]: "No tunnel endpoint for the address",
  [DropReason.NO_NAT_MAPPING]: "No free port to masquerade with",
  [DropReason.FIB_LOOKUP_FAILED]: "No route",
  [DropReason.ENCAP_PROHIBITED]: "Pod spoke to the tunnel port",
  [DropReason.INVALID_IDENTITY]: "Invalid identity in the tunnel header",
  [DropReason.CLUSTER_IP_FROM_OUTSIDE]: "Cluster address asked from outside",
  [DropReason.FRAGMENT_NOT_FOUND]: "First fragment not seen",
  [DropReason.NOT_IN_SOURCE_RANGES]: "Not in the service's source ranges",
  [DropReason.POLICY_DENIED]: "Policy denied by a deny rule",
  [DropReason.TTL_EXCEEDED]: "TTL exceeded",
  [DropReason.ENDPOINT_NOT_READY]: "Endpoint not ready",
  [DropReason.NO_ENDPOINT]: "Device is of no endpoint",
  [DropReason.DENIED_BY_PREFILTER]: "Denied by the prefilter",
};

/** Directions of the metrics map. */
export const METRIC_DIRECTIONS = ["ingress", "egress"] as const;

/** The reason in words, or its number. */
export function reasonText(reason: number): string {
  return REASONS[reason] ?? `reason ${reason}`;
}

/** Names of a constant object's values, in lower case with dashes; a value without one is a number. */
function namer(constants: Record<string, number>): (value: number) => string {
  const names = new Map(
    Object.entries(constants).map((
      [name, value],
    ) => [value, name.toLowerCase().replaceAll("_", "-")]),
  );
  return (value) => names.get(value) ?? String(value);
}

export const eventTypeName = namer(EventType);
export const pointName = namer(ObservationPoint);
export const statusName = namer(ConnectionStatus);

/** IANA protocol numbers. */
const PROTOCOLS: Record<number, string> = {
  1: "ICMP",
  6: "TCP",
  17: "UDP",
  58: "ICMPv6",
  132: "SCTP",
};

export function protocolName(protocol: number): string {
  return PROTOCOLS[protocol] ?? String(protocol);
}

const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

const TCP_FLAGS_TEXTS = Array.from(
  { length: 256 },
  (_, flags) => TCP_FLAGS.filter((_, bit) => flags & (1 << bit)).join(","),
);

/** TCP flags, a byte, as text: "SYN,ACK". */
export function tcpFlagsText(flags: number): string {
  return TCP_FLAGS_TEXTS[flags]!;
}

/** The command that shows what a reason for a drop is about; `{}` is the endpoint. */
const LOOK_FURTHER: Record<number, string> = {
  [DropReason.POLICY_DENIED_BY_DEFAULT]: "pilus policy get {}",
  [DropReason.POLICY_DENIED]: "pilus policy get {}",
  [DropReason.INVALID_SOURCE_IP]: "pilus endpoint get {}",
  [DropReason.ENDPOINT_NOT_READY]: "pilus endpoint list",
  [DropReason.NO_ENDPOINT]: "pilus endpoint list",
  [DropReason.UNROUTABLE]: "pilus ipcache list",
  [DropReason.NO_TUNNEL_ENDPOINT]: "pilus ipcache list",
  [DropReason.INVALID_IDENTITY]: "pilus identity list",
  [DropReason.SERVICE_BACKEND_NOT_FOUND]: "pilus service list",
  [DropReason.NOT_IN_SOURCE_RANGES]: "pilus service list -o yaml",
  [DropReason.NO_NAT_MAPPING]: "pilus nat list",
  [DropReason.CT_CREATE_FAILED]: "pilus map list",
};

/** The command that tells more about a drop, if there is one. */
export function lookFurther(reason: number, endpoint: number): string | undefined {
  const command = LOOK_FURTHER[reason];
  if (!command?.includes("{}")) return command;
  return endpoint ? command.replace("{}", String(endpoint)) : undefined;
}

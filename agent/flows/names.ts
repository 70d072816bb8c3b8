/** Words for the numbers of flows. Numbers are those of the programs' enumerations. */

import { AgentEvent, FlowType, Verdict } from "./flow.ts";

/** Names of the values of a constant object: in lower case with dashes. */
function wordsOf(constants: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(
    Object.entries(constants).map((
      [name, value],
    ) => [value, name.toLowerCase().replaceAll("_", "-")]),
  );
}

/** Names by type of flow: "drop". */
export const TYPE_NAMES = wordsOf(FlowType);

/** Names by verdict: "forwarded". */
export const VERDICT_NAMES = wordsOf(Verdict);

/** Names by event of the agent: "endpoint-created". */
export const AGENT_EVENT_NAMES = wordsOf(AgentEvent);

/** Names by `enum observation_point`. */
export const POINT_NAMES: ReadonlyMap<number, string> = new Map([
  [1, "from-endpoint"],
  [2, "to-endpoint"],
  [3, "from-network"],
  [4, "to-network"],
  [5, "from-overlay"],
  [6, "to-overlay"],
]);

/** Names by `enum connection_status`. */
export const STATUS_NAMES: ReadonlyMap<number, string> = new Map([
  [0, "unknown"],
  [1, "new"],
  [2, "established"],
  [3, "reply"],
  [4, "related"],
]);

/** Directions of policies and metrics, by number. */
export const DIRECTION_NAMES = ["ingress", "egress"] as const;

/** What is said of a drop reason. */
interface DropReasonWords {
  text: string;
  /** The command that shows what it is about; `{}` is the endpoint. */
  more?: string;
}

/** By `enum drop_reason`. */
export const DROP_REASONS: ReadonlyMap<number, DropReasonWords> = new Map([
  [1, { text: "Multicast or link-local chatter" }],
  [132, { text: "Invalid source IP", more: "pilus endpoint get {}" }],
  [133, { text: "Policy denied", more: "pilus policy get {}" }],
  [134, { text: "Invalid packet" }],
  [135, { text: "Truncated or invalid L4 header" }],
  [136, { text: "Longer than the way to the backend allows" }],
  [139, { text: "Unsupported L3 protocol" }],
  [141, { text: "Error while rewriting the packet" }],
  [142, { text: "Unknown L4 protocol" }],
  [147, { text: "No tunnel key" }],
  [151, { text: "Address is of no endpoint here", more: "pilus ipcache list" }],
  [155, { text: "No room in the connection table", more: "pilus map list" }],
  [156, { text: "Invalid IPv6 extension header" }],
  [158, { text: "Service has no backend", more: "pilus service list" }],
  [162, { text: "Over the pod's bandwidth", more: "pilus map dump bandwidth" }],
  [160, { text: "No tunnel endpoint for the address", more: "pilus ipcache list" }],
  [167, { text: "No free port to masquerade with", more: "pilus nat list" }],
  [169, { text: "No route" }],
  [170, { text: "Pod spoke to the tunnel port" }],
  [171, { text: "Invalid identity in the tunnel header", more: "pilus identity list" }],
  [174, { text: "Cluster address asked from outside" }],
  [175, { text: "First fragment not seen" }],
  [177, { text: "Not in the service's source ranges", more: "pilus service list -o yaml" }],
  [181, { text: "Policy denied by a deny rule", more: "pilus policy get {}" }],
  [182, { text: "Frame of a pod with a VLAN tag" }],
  [196, { text: "TTL exceeded" }],
  [203, { text: "Endpoint not ready", more: "pilus endpoint list" }],
  [210, { text: "Device is of no endpoint", more: "pilus endpoint list" }],
  [211, { text: "Denied by the prefilter" }],
  [212, { text: "ICMP error that does not fit the packet it quotes" }],
  [213, { text: "Neighbour discovery from beyond the link" }],
  [214, { text: "Tunnel frame of no known node", more: "pilus node list" }],
  [215, { text: "Share of connections is spent", more: "pilus endpoint get {}" }],
  [216, { text: "Share of masqueraded ports is spent", more: "pilus endpoint get {}" }],
  [217, { text: "No known pod has the address", more: "pilus ipcache list" }],
]);

/** The drop reason in words, or its number. */
export function reasonText(reason: number): string {
  return DROP_REASONS.get(reason)?.text ?? `reason ${reason}`;
}

/** The command that shows more about a drop, if there is one. */
export function moreAbout(reason: number, endpoint: number): string | undefined {
  const command = DROP_REASONS.get(reason)?.more;
  if (!command?.includes("{}")) return command;
  return endpoint ? command.replace("{}", String(endpoint)) : undefined;
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

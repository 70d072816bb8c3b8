/** Flows of the node as messages of Hubble's API, with the names that are known when they are read. */

import { hasPorts, PROTOCOLS } from "../core/protocols.ts";
import { FlowType, type PacketEnd, type PacketFlow } from "../flows/flow.ts";
import {
  Direction,
  type EndpointMessage,
  EventType,
  type FlowMessage,
  HubbleVerdict,
  type Layer4Message,
  type PolicyMessage,
  type ServiceMessage,
  type TcpFlagsMessage,
} from "./flow_message.ts";

/** What flows are shown with beside their own numbers. */
export interface HubbleNames {
  /** Changes when what has an address may have changed. */
  revision(): number;
  /** `namespace/pod` of an address; without a `/` it is no pod. */
  pod(ip: string): string | undefined;
  /** The number of the node's own endpoint. */
  endpoint(ip: string): number | undefined;
  /** Labels of an identity. */
  labels(identity: number): string[] | undefined;
  /** The service that has a frontend there. */
  service(ip: string, port: number, protocol: number): ServiceMessage | undefined;
  interface(ifindex: number): string;
  /** The policy behind a cookie; undefined when it is none of a manifest's. */
  policy(cookie: number): PolicyMessage | undefined;
  /** The rule behind a cookie, for people. */
  rule(cookie: number): string | undefined;
}

/** Pods of one cluster alone. */
export const CLUSTER = "default";

/** Flows of packets, as a type. */
const L3_L4 = 1;

/** By `enum observation_point`: the number of the programs of Hubble's world, and that of its API. */
const POINTS: ReadonlyMap<number, readonly [subType: number, point: number]> = new Map([
  [1, [5, 5]],
  [2, [0, 101]],
  [3, [10, 10]],
  [4, [11, 11]],
  [5, [9, 9]],
  [6, [4, 4]],
]);

const FROM_ENDPOINT = 1, TO_ENDPOINT = 2;

/** Of `enum connection_status`. */
const REPLY = 3;

const FLAG_NAMES = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"] as const;

const FLAGS: readonly TcpFlagsMessage[] = Array.from(
  { length: 256 },
  (_, bits) =>
    Object.fromEntries(FLAG_NAMES.filter((_, bit) => bits & 1 << bit).map((name) => [name, true])),
);

const FLAG_TEXTS = FLAGS.map((flags) => `TCP Flags: ${Object.keys(flags).join(", ")}`);

/** Ends that are remembered. */
const MAX_ENDS = 16_384;

export class FlowMaker {
  readonly node: string;
  readonly #names: HubbleNames;
  readonly #ends = new Map<string, EndpointMessage>();
  #revision = NaN;

  /** `node`: the name of this node. */
  constructor(node: string, names: HubbleNames) {
    this.node = `${CLUSTER}/${node}`;
    this.#names = names;
  }

  message(flow: PacketFlow): FlowMessage {
    const { source, destination, protocol, cookie, status } = flow;
    const point = POINTS.get(flow.point);
    const dropped = flow.type === FlowType.DROP;
    const message: FlowMessage = {
      time: { seconds: flow.seconds, nanos: flow.nanoseconds },
      uuid: uuidOf(flow),
      verdict: dropped ? HubbleVerdict.DROPPED : HubbleVerdict.FORWARDED,
      Type: L3_L4,
      node_name: this.node,
      event_type: dropped
        ? { type: EventType.DROP, sub_type: flow.reason }
        : flow.type === FlowType.VERDICT
        ? { type: EventType.POLICY_VERDICT }
        : { type: EventType.TRACE, sub_type: point?.[0] ?? 0 },
      source: this.#end(source),
      destination: this.#end(destination),
      traffic_direction: direction(flow),
      interface: { index: flow.ifindex, name: this.#names.interface(flow.ifindex) },
      Summary: summary(flow),
    };
    if (flow.family !== 0) {
      message.IP = {
        source: source.ip,
        destination: destination.ip,
        ipVersion: flow.family === 6 ? 2 : 1,
      };
      const l4 = layer4(flow);
      if (l4) message.l4 = l4;
      if (hasPorts(protocol)) {
        const from = this.#names.service(source.ip, source.port, protocol);
        const to = this.#names.service(destination.ip, destination.port, protocol);
        if (from) message.source_service = from;
        if (to) message.destination_service = to;
      }
    }
    if (dropped) {
      message.drop_reason = flow.reason;
      message.drop_reason_desc = flow.reason;
    } else {
      if (status !== 0) message.is_reply = { value: status === REPLY };
      if (flow.type === FlowType.TRACE) {
        message.trace_observation_point = point?.[1] ?? 0;
        message.trace_reason = status;
      }
    }
    if (cookie !== 0) this.#addRule(message, flow, dropped);
    return message;
  }

  #addRule(message: FlowMessage, { cookie, direction }: PacketFlow, denied: boolean): void {
    const rule = this.#names.rule(cookie);
    if (rule !== undefined) message.policy_log = [rule];
    const policy = this.#names.policy(cookie);
    if (!policy) return;
    if (direction === 1) message[denied ? "egress_denied_by" : "egress_allowed_by"] = [policy];
    else message[denied ? "ingress_denied_by" : "ingress_allowed_by"] = [policy];
  }

  /** The same object for the same end, for as long as its names hold. */
  #end({ ip, identity }: PacketEnd): EndpointMessage {
    const revision = this.#names.revision();
    if (revision !== this.#revision || this.#ends.size > MAX_ENDS) this.#ends.clear();
    this.#revision = revision;
    const key = `${ip} ${identity}`;
    let end = this.#ends.get(key);
    if (!end) this.#ends.set(key, end = this.#makeEnd(ip, identity));
    return end;
  }

  #makeEnd(ip: string, identity: number): EndpointMessage {
    const end: EndpointMessage = { identity };
    const id = this.#names.endpoint(ip);
    if (id !== undefined) end.ID = id;
    const labels = this.#names.labels(identity);
    if (labels) end.labels = labels;
    const pod = this.#names.pod(ip);
    const slash = pod?.indexOf("/") ?? -1;
    if (pod !== undefined && slash > 0) {
      end.namespace = pod.slice(0, slash);
      end.pod_name = pod.slice(slash + 1);
      end.cluster_name = CLUSTER;
    }
    return end;
  }
}

/** The direction that the policy decided about; else the way of the connection at the endpoint. */
function direction({ cookie, direction, point, status, type }: PacketFlow): number {
  if (cookie !== 0 && type !== FlowType.TRACE) {
    return direction === 1 ? Direction.EGRESS : Direction.INGRESS;
  }
  if (point !== FROM_ENDPOINT && point !== TO_ENDPOINT) return Direction.UNKNOWN;
  return (point === FROM_ENDPOINT) === (status !== REPLY) ? Direction.EGRESS : Direction.INGRESS;
}

function layer4(flow: PacketFlow): Layer4Message | undefined {
  const { protocol, source, destination, icmpType } = flow;
  const ports = { source_port: source.port, destination_port: destination.port };
  switch (protocol) {
    case PROTOCOLS.TCP:
      return { TCP: { ...ports, flags: FLAGS[flow.tcpFlags]! } };
    case PROTOCOLS.UDP:
      return { UDP: ports };
    case PROTOCOLS.SCTP:
      return { SCTP: ports };
    case PROTOCOLS.ICMP:
      return { ICMPv4: { type: icmpType } };
    case PROTOCOLS.ICMPv6:
      return { ICMPv6: { type: icmpType } };
  }
}

const ICMP_NAMES: Readonly<Record<number, ReadonlyMap<number, string>>> = {
  [PROTOCOLS.ICMP]: new Map([
    [0, "EchoReply"],
    [3, "DestinationUnreachable"],
    [8, "EchoRequest"],
    [11, "TimeExceeded"],
  ]),
  [PROTOCOLS.ICMPv6]: new Map([
    [1, "DestinationUnreachable"],
    [2, "PacketTooBig"],
    [3, "TimeExceeded"],
    [128, "EchoRequest"],
    [129, "EchoReply"],
    [135, "NeighborSolicitation"],
    [136, "NeighborAdvertisement"],
  ]),
};

function summary({ family, protocol, tcpFlags, icmpType }: PacketFlow): string {
  if (family === 0) return "Ethernet";
  if (protocol === PROTOCOLS.TCP) return FLAG_TEXTS[tcpFlags]!;
  if (protocol === PROTOCOLS.UDP) return "UDP";
  if (protocol === PROTOCOLS.SCTP) return "SCTP";
  const icmp = ICMP_NAMES[protocol];
  if (icmp) {
    const name = protocol === PROTOCOLS.ICMP ? "ICMPv4" : "ICMPv6";
    return `${name} ${icmp.get(icmpType) ?? `Type ${icmpType}`}`;
  }
  return `IP protocol ${protocol}`;
}

/** The same for each reading of a flow: of its time, its ends and where it was seen. */
function uuidOf(flow: PacketFlow): string {
  const { seconds, nanoseconds, source, destination } = flow;
  const ends = hash(source.ip, hash(destination.ip, flow.ifindex));
  const rest = hash(flow.node, flow.type << 16 ^ flow.point << 8 ^ flow.length);
  const ports = source.port << 16 | destination.port;
  const digits = hex(seconds) + hex(nanoseconds) + hex(ends) + hex(ports ^ rest);
  // version 8, "custom", and the variant of RFC 9562, take six bits
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-8${digits.slice(13, 16)}-` +
    `${VARIANTS[parseInt(digits[16]!, 16)]}${digits.slice(17, 20)}-${digits.slice(20)}`;
}

const VARIANTS = "89ab89ab89ab89ab";

function hash(text: string, seed: number): number {
  let value = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value;
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, "0");
}

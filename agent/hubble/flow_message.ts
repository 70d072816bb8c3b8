/** Messages of Hubble's API as objects; names and numbers are those of its definitions. */

export interface TimeMessage {
  seconds: number;
  nanos?: number;
}

export interface EndpointMessage {
  ID?: number;
  identity?: number;
  cluster_name?: string;
  namespace?: string;
  labels?: readonly string[];
  pod_name?: string;
  workloads?: readonly WorkloadMessage[];
}

export interface WorkloadMessage {
  name?: string;
  kind?: string;
}

export interface ServiceMessage {
  name?: string;
  namespace?: string;
}

export interface TcpFlagsMessage {
  FIN?: boolean;
  SYN?: boolean;
  RST?: boolean;
  PSH?: boolean;
  ACK?: boolean;
  URG?: boolean;
  ECE?: boolean;
  CWR?: boolean;
  NS?: boolean;
}

interface Ports {
  source_port?: number;
  destination_port?: number;
}

interface Icmp {
  type?: number;
  code?: number;
}

export interface Layer4Message {
  TCP?: Ports & { flags?: TcpFlagsMessage };
  UDP?: Ports;
  SCTP?: Ports;
  ICMPv4?: Icmp;
  ICMPv6?: Icmp;
}

export interface Layer7Message {
  type?: number;
  latency_ns?: number;
  dns?: { query?: string; ips?: string[]; rcode?: number; qtypes?: string[] };
  http?: {
    code?: number;
    method?: string;
    url?: string;
    protocol?: string;
    headers?: { key?: string; value?: string }[];
  };
  kafka?: object;
}

export interface PolicyMessage {
  name?: string;
  namespace?: string;
  labels?: readonly string[];
  revision?: number;
  kind?: string;
}

export interface FlowMessage {
  time?: TimeMessage;
  uuid?: string;
  verdict?: number;
  drop_reason?: number;
  drop_reason_desc?: number;
  IP?: {
    source?: string;
    source_xlated?: string;
    destination?: string;
    ipVersion?: number;
    encrypted?: boolean;
  };
  l4?: Layer4Message;
  l7?: Layer7Message;
  source?: EndpointMessage;
  destination?: EndpointMessage;
  Type?: number;
  node_name?: string;
  node_labels?: readonly string[];
  source_names?: readonly string[];
  destination_names?: readonly string[];
  event_type?: { type?: number; sub_type?: number };
  source_service?: ServiceMessage;
  destination_service?: ServiceMessage;
  traffic_direction?: number;
  trace_observation_point?: number;
  trace_reason?: number;
  trace_context?: { parent?: { trace_id?: string } };
  is_reply?: { value?: boolean };
  interface?: { index?: number; name?: string };
  egress_allowed_by?: readonly PolicyMessage[];
  ingress_allowed_by?: readonly PolicyMessage[];
  egress_denied_by?: readonly PolicyMessage[];
  ingress_denied_by?: readonly PolicyMessage[];
  policy_log?: readonly string[];
  Summary?: string;
}

export interface LostEventMessage {
  source: number;
  num_events_lost: number;
}

export interface GetFlowsResponse {
  flow?: FlowMessage;
  node_status?: { state_change?: number; node_names?: string[]; message?: string };
  lost_events?: LostEventMessage;
  node_name?: string;
  time?: TimeMessage;
}

/** A filter: all fields that are there must fit, each by one of its values. */
export interface FlowFilterMessage {
  uuid?: string[];
  source_ip?: string[];
  source_ip_xlated?: string[];
  source_pod?: string[];
  source_fqdn?: string[];
  source_label?: string[];
  source_service?: string[];
  source_workload?: WorkloadMessage[];
  source_cluster_name?: string[];
  destination_ip?: string[];
  destination_pod?: string[];
  destination_fqdn?: string[];
  destination_label?: string[];
  destination_service?: string[];
  destination_workload?: WorkloadMessage[];
  destination_cluster_name?: string[];
  traffic_direction?: number[];
  verdict?: number[];
  drop_reason_desc?: number[];
  interface?: { index?: number; name?: string }[];
  event_type?: { type?: number; match_sub_type?: boolean; sub_type?: number }[];
  http_status_code?: string[];
  protocol?: string[];
  source_port?: string[];
  destination_port?: string[];
  reply?: boolean[];
  dns_query?: string[];
  source_identity?: number[];
  destination_identity?: number[];
  http_method?: string[];
  http_path?: string[];
  http_url?: string[];
  http_header?: { key?: string; value?: string }[];
  tcp_flags?: TcpFlagsMessage[];
  node_name?: string[];
  node_labels?: string[];
  ip_version?: number[];
  trace_id?: string[];
  experimental?: { cel_expression?: string[] };
}

/** What all streams of events are asked with. */
export interface StreamRequest {
  number?: number;
  first?: boolean;
  follow?: boolean;
  since?: TimeMessage;
  until?: TimeMessage;
}

export interface GetFlowsRequest extends StreamRequest {
  blacklist?: FlowFilterMessage[];
  whitelist?: FlowFilterMessage[];
  field_mask?: { paths?: string[] };
  experimental?: { field_mask?: { paths?: string[] } };
}

/** Types of events, as Hubble numbers them. */
export const EventType = { DROP: 1, TRACE: 4, POLICY_VERDICT: 5 } as const;

export const HubbleVerdict = { FORWARDED: 1, DROPPED: 2 } as const;

export const Direction = { UNKNOWN: 0, INGRESS: 1, EGRESS: 2 } as const;

export const LostSource = { PERF_EVENT_RING_BUFFER: 1, HUBBLE_RING_BUFFER: 3 } as const;

export const HubbleAgentEvent = { UNKNOWN: 0, ENDPOINT_CREATED: 7, ENDPOINT_DELETED: 8 } as const;

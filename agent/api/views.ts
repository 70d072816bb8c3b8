/** What the agent shows of itself: the JSON of the read-only half of its API. */

import type { Problem } from "../core/problem.ts";

/** Whether things are well; `reason` when they are not. */
export interface Health {
  ok: boolean;
  reason?: string;
}

export interface ReconcilerView {
  name: string;
  rows: number;
  pending: number;
  errors: number;
  repairs: number;
  /** ISO 8601. */
  lastSync?: string;
  lastError?: { at: string; key: string; reason: string };
}

/** What of the kernel was changed behind the agent's back, and put right. */
export interface LapseView {
  reconciler: string;
  /** When a comparison last found it right; ISO 8601. */
  since: string;
  /** When it was right again; missing while it is not. */
  until?: string;
  /** The first rows, by key. */
  rows: string[];
  /** All rows. */
  count: number;
}

export interface MapView {
  name: string;
  type: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  /** Undefined for kinds that have no rows of their own (ring buffers). */
  entries?: number;
  /** Share of the rows in use, 0 to 1. */
  pressure?: number;
}

export interface FeatureView {
  name: string;
  found: string;
  /** What the slower choice costs; empty when it is the best one. */
  cost: string;
}

/** Something that there was no room for in the last minute. */
export interface ShortageView {
  /** Whose share is spent; undefined when all had none. */
  endpoint?: string;
  reason: string;
  /** Packets since the maps exist, or the endpoint does. */
  packets: number;
  /** RFC 3339; when the counter was last seen to grow. */
  lastAt: string;
  remedy: string;
}

/** How a kind of the API server's objects is kept up with. */
export interface WatchView {
  kind: string;
  /** absent: the server does not have the kind. */
  state: "listing" | "watching" | "absent" | "failing";
  /** Of that state; ISO 8601. */
  since: string;
  /** What went wrong last, and has not gone well since. */
  error?: string;
  objects: number;
}

/** `GET /v1/status` */
export interface StatusView {
  version: string;
  node: string;
  pid: number;
  /** Seconds. */
  uptime: number;
  health: Health;
  source: string;
  /** The kinds that an API server is asked for, when one is. */
  watches?: WatchView[];
  /** How many resources of kinds that pilus does not read there are, by `apps/v1/Deployment`. */
  ignoredKinds: Record<string, number>;
  routing: "native" | "vxlan";
  masquerade: boolean;
  devices: { name: string; ifindex: number; ipv4?: string; ipv6?: string; mtu: number }[];
  /** Where packets of each device meet the prefilter and the load balancer, and why there. */
  xdp: { device: string; mode: "native" | "generic" | "tc"; reason: string }[];
  /** Whether TCP within the node goes from socket to socket, and why. */
  sockmap: { on: boolean; reason: string };
  podCidrs: string[];
  addresses: { family: string; used: number; capacity: number }[];
  endpoints: { total: number; ready: number };
  /** Endpoints whose Pod no source has. */
  endpointsWithoutManifest: number;
  identities: number;
  /** With a frontend. */
  services: number;
  policies: number;
  nodes: number;
  reconcilers: ReconcilerView[];
  /** The last ones of each reconciler, oldest first. */
  lapses: LapseView[];
  /** Only the maps that are more than half full. */
  pressure: MapView[];
  /** What programs had no room for in the last minute. */
  shortages: ShortageView[];
  /** Frontends whose backends are chosen at random because pilus_maglev is full. */
  servicesWithoutTable: number;
  features: FeatureView[];
  problems: Problem[];
  events: { seen: number; lost: number };
  cni?: { config: string; binary: string };
  memory: { rss: number };
}

/** `GET /v1/identities` */
export interface IdentityView {
  id: number;
  labels: string[];
  /** Endpoints of this node that have it. */
  endpoints: number;
}

/** `GET /v1/nodes` */
export interface NodeView {
  name: string;
  local: boolean;
  ipv4?: string;
  ipv6?: string;
  podCidrs: string[];
}

/** `GET /v1/services` */
export interface ServiceView {
  id: number;
  namespace: string;
  name: string;
  portName?: string;
  type: string;
  frontend: string;
  port: number;
  protocol: string;
  /** How packets of external clients get to a backend elsewhere: snat, ipip or option. */
  forwarding?: string;
  algorithm?: string;
  externalTrafficPolicy?: string;
  internalTrafficPolicy?: string;
  /** Without it there is no affinity. */
  affinitySeconds?: number;
  sourceRanges?: string[];
  backends: ServiceBackendView[];
}

export interface ServiceBackendView {
  address: string;
  port: number;
  /** active, terminating, quarantined, maintenance or unready. */
  state: string;
  weight: number;
  /** Whether it gets new connections of pods and of this node, and of clients outside of the cluster. */
  internal: boolean;
  external: boolean;
  /** How often it was chosen. */
  hits: number;
  pod?: string;
  node?: string;
}

/** One entry of a resolved policy, as the kernel has it. */
export interface RuleView {
  direction: "ingress" | "egress";
  verdict: "allow" | "deny";
  identity: number;
  labels: string[];
  protocol: string;
  /** "any", "80" or "8080-8087". */
  port: string;
  precedence: number;
  cookie: number;
  /** The manifest's rule in words. */
  rule: string;
}

/** `GET /v1/endpoints/{id}/policy` */
export interface PolicyView {
  endpoint: number;
  pod: string;
  policy: number;
  revision: number;
  ingress: { enforced: boolean };
  egress: { enforced: boolean };
  rules: RuleView[];
}

/** Rows that a query asks for. */
export interface Listing<T> {
  /** As many as its limit. */
  rows: T[];
  /** All that pass its filter. */
  total: number;
}

/** `GET /v1/ct` has a listing of them. */
export interface ConnectionView {
  protocol: string;
  initiator: string;
  initiatorPort: number;
  responder: string;
  responderPort: number;
  /** The service that the initiator believes to talk to. */
  service?: string;
  state: string;
  /** Seconds until the row is dropped. */
  expires: number;
  packets: [number, number];
  bytes: [number, number];
  initiatorIdentity: number;
  responderIdentity: number;
}

/** `GET /v1/ipcache` */
export interface IpcacheView {
  prefix: string;
  identity: number;
  kind: string;
  /** Where the tunnel to it ends. */
  tunnel?: string;
}

/** A backend of a set. */
export interface KernelBackendView {
  index: number;
  address: string;
  port: number;
  flags: string[];
  hits: number;
}

/** A backend, whichever sets it is in. */
export interface BackendUseView {
  address: string;
  port: number;
  flags: string[];
  /** Of all its rows. */
  hits: number;
  /** Frontends that send new connections to it. */
  services: string[];
}

/** A frontend with the backends of each kind of client. */
export interface KernelFrontendView {
  frontend: string;
  id: number;
  flags: string[];
  affinityS: number;
  internal: KernelBackendView[];
  external: KernelBackendView[];
  /** First rows of the Maglev tables; 0: random. */
  tables: { internal: number; external: number };
}

/** A Maglev table in use. */
export interface KernelTableView {
  /** Its first row. */
  table: number;
  /** Ids of the services that use it. */
  services: number[];
  slots: number;
  /** Slots for new flows by backend. */
  shares: { backend: string; slots: number; share: number }[];
  /** Slots whose earlier flows go elsewhere than new ones. */
  moved: number;
  young: number;
  ask: number;
}

/** `GET /v1/lb/source-ranges` */
export interface SourceRangeView {
  prefix: string;
  /** Number of the service's port. */
  service: number;
}

/** What becomes of a new flow. */
export interface ServiceTraceView {
  frontend: string;
  client: string;
  /** Number of the service's port; undefined when it is no service. */
  service?: number;
  flags?: string[];
  /** What was looked at, in the order of the programs. */
  steps: string[];
  verdict: "backend" | "one of several" | "refused" | "dropped" | "no service";
  /** The one, or those that it may be. */
  backends: KernelBackendView[];
  /** What then happens to its packets. */
  then?: string;
}

/** `GET /v1/nat` has a listing of them: a connection that leaves with an address of the node. Ends are `ADDRESS:PORT`. */
export interface MappingView {
  protocol: string;
  /** Who began. */
  client: string;
  /** What it believes to talk to. */
  frontend: string;
  /** The client on the way. */
  own: string;
  /** The other end after translation. */
  peer: string;
  state: "opening" | "established" | "closing" | "unreplied" | "replied";
  /** Seconds since the last packet. */
  idle: number;
}

/** `GET /v1/prefilter` */
export interface PrefilterView {
  /** The file; undefined without one. */
  file?: string;
  /** In the kernel. `line`: of the file; 0 when it is from an earlier agent. */
  prefixes: { prefix: string; line: number }[];
  /** Since the programs were loaded. */
  dropped: { packets: number; bytes: number };
}

/** One end of a flow. */
export interface FlowEnd {
  ip: string;
  port?: number;
  identity: number;
  /** `namespace/pod` where it is known. */
  pod?: string;
  labels?: string[];
}

/** An event of the agent, among flows when they are asked for by `type=agent`. */
export interface AgentEventView {
  /** ISO 8601 with nanoseconds. */
  time: string;
  type: "agent";
  event: string;
  text: string;
}

/** A drop, trace or verdict; each line of `GET /v1/monitor` is an array of them. */
export interface FlowView {
  /** ISO 8601 with nanoseconds. */
  time: string;
  type: "drop" | "trace" | "verdict";
  verdict: "forwarded" | "dropped";
  /** Of a drop, in words. */
  reason?: string;
  reasonCode?: number;
  /** Of a drop: the command that tells more. */
  more?: string;
  point: string;
  status: string;
  /** Of verdicts and policy drops. */
  direction?: "ingress" | "egress";
  endpoint?: number;
  interface: string;
  protocol: string;
  source: FlowEnd;
  destination: FlowEnd;
  tcpFlags?: string;
  icmpType?: number;
  /** Bytes of the packet. */
  length: number;
  /** The deciding rule. */
  rule?: { cookie: number; text: string };
}

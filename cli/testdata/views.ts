/** What an agent might say: long IPv6 addresses and label sets, so that tables have to give way. */

import type { MetricRow } from "../../agent/api/metrics_text.ts";
import { ApiError, type ApiRoutes } from "../../agent/api/server.ts";
import { parseConnectionQuery } from "../../agent/api/connection_query.ts";
import { parseFlowQuery } from "../../agent/api/flow_query.ts";
import { protocolNumber } from "../../agent/core/protocols.ts";
import { TYPE_NAMES, VERDICT_NAMES } from "../../agent/flows/names.ts";
import type { EndpointView } from "../../agent/api/types.ts";
import type {
  BackendUseView,
  ConnectionView,
  FlowView,
  IdentityView,
  IpcacheView,
  KernelFrontendView,
  KernelTableView,
  MappingView,
  MapView,
  NodeView,
  PolicyView,
  PrefilterView,
  ServiceTraceView,
  ServiceView,
  SourceRangeView,
  StatusView,
} from "../../agent/api/views.ts";

const labels = (app: string) => [
  `k8s:app=${app}`,
  "k8s:app.kubernetes.io/part-of=a-shop-with-a-long-name",
  "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=demo",
  "k8s:io.cilium.k8s.policy.cluster=default",
  "k8s:io.cilium.k8s.policy.serviceaccount=default",
  "k8s:io.kubernetes.pod.namespace=demo",
];

const endpoint = (id: number, app: string, more: Partial<EndpointView> = {}): EndpointView => ({
  id,
  containerId: "0123456789abcdef".repeat(4),
  ifname: "eth0",
  netns: `/run/netns/cni-5d2f9a31-${id}`,
  netnsCookie: 4096 + id,
  namespace: "demo",
  pod: `${app}-7d5b9c7c4-x2x${id}`,
  hostIfname: `lxc0a3c01f${id}`,
  hostIfindex: 40 + id,
  hostMac: "1a:2b:3c:00:00:01",
  podMac: "1a:2b:3c:00:00:02",
  ipv4: `10.60.1.${id}`,
  ipv6: `fd60:1:2:3::${id}`,
  mtu: 1500,
  createdAt: "2026-11-23T05:28:20.770Z",
  state: "ready",
  identity: 300 + id,
  labels: labels(app),
  manifest: "found",
  enforcing: { ingress: id % 2 === 0, egress: false },
  policy: 2,
  revision: 1795411700,
  shares: {
    started: { rows: 120, refused: 0 },
    accepted: { rows: 8, refused: 0 },
    mappings: { rows: 40, refused: id === 3 ? 1100 : 0 },
    choices: { rows: 2, refused: 0 },
    affinity: { rows: 1, refused: 0 },
  },
  ...more,
});

const endpoints: EndpointView[] = [
  endpoint(2, "web"),
  endpoint(3, "client"),
  endpoint(4, "broken", { state: "failed", reason: "Cannot attach tcx to lxc0a3c01f4: EPERM" }),
];

const status: StatusView = {
  version: "0.1.0",
  node: "node-a",
  pid: 4242,
  uptime: 3725,
  health: { ok: true },
  source: "files:/etc/pilus/manifests",
  ignoredKinds: { "v1/ConfigMap": 3, "apps/v1/Deployment": 12 },
  routing: "vxlan",
  masquerade: true,
  devices: [
    { name: "eth0", ifindex: 2, ipv4: "192.168.60.1", ipv6: "fd60:60::1", mtu: 1500 },
    { name: "eth1", ifindex: 3, ipv4: "192.168.61.1", mtu: 9000 },
  ],
  xdp: [
    { device: "eth0", mode: "native", reason: "virtio_net runs it" },
    {
      device: "eth1",
      mode: "generic",
      reason: "ixgbe refuses native XDP at an MTU of 9000: MTU too large for XDP",
    },
  ],
  sockmap: { on: true, reason: "pods of this node send TCP from socket to socket" },
  podCidrs: ["10.60.1.0/24", "fd60:1:2:3::/64"],
  addresses: [
    { family: "ipv4", used: 3, capacity: 253 },
    { family: "ipv6", used: 3, capacity: 65533 },
  ],
  endpoints: { total: 3, ready: 2 },
  endpointsWithoutManifest: 1,
  identities: 17,
  services: 4,
  policies: 1,
  nodes: 2,
  lapses: [{
    reconciler: "attachments",
    since: "2026-01-01T10:00:00.000Z",
    until: "2026-01-01T10:00:01.000Z",
    rows: ["tc lxc1", "tc lxc2"],
    count: 2,
  }],
  reconcilers: [
    {
      name: "endpoints",
      rows: 3,
      pending: 0,
      errors: 0,
      repairs: 0,
      lastSync: "2026-11-23T05:28:20.770Z",
    },
    {
      name: "policies",
      rows: 12,
      pending: 1,
      errors: 1,
      repairs: 4,
      lastSync: "2026-11-23T05:28:20.770Z",
      lastError: {
        at: "2026-11-23T05:28:19.770Z",
        key: "2",
        reason: "Cannot update map pilus_rules: E2BIG: it has room for 16384 rows",
      },
    },
  ],
  pressure: [],
  shortages: [],
  servicesWithoutTable: 0,
  features: [
    { name: "attach", found: "tcx", cost: "" },
    { name: "map batches", found: "yes", cost: "" },
  ],
  problems: [],
  events: { seen: 4711, lost: 0 },
  cni: { config: "/etc/cni/net.d", binary: "/opt/cni/bin" },
  memory: { rss: 96 * 1048576 },
};

/** An agent in trouble. */
export const unwell: StatusView = {
  ...status,
  health: { ok: false, reason: "policies: 1 rows in error: Cannot update map pilus_rules: E2BIG" },
  problems: [{
    source: "/etc/pilus/manifests/web.yaml",
    line: 12,
    message: "spec.ports: expected a list",
  }],
  pressure: [
    {
      name: "pilus_rules",
      type: "hash",
      keySize: 20,
      valueSize: 16,
      maxEntries: 16384,
      entries: 16300,
      pressure: 0.995,
    },
  ],
  shortages: [{
    reason: "No free port to masquerade with",
    packets: 1,
    lastAt: "2026-11-23T05:28:20.770Z",
    remedy: "widen --nat-port-range",
  }, {
    endpoint: "demo/client-7d5b9c7c4-x2x3",
    reason: "it has as many masqueraded ports as are free, and gets no more",
    packets: 1100,
    lastAt: "2026-11-23T05:28:20.770Z",
    remedy: "use --map-size pilus_nat",
  }],
  servicesWithoutTable: 12,
  events: { seen: 4711, lost: 3 },
};

const kernelBackend = { index: 0, address: "10.60.1.2", port: 8080, flags: ["local"], hits: 12 };

const frontends: KernelFrontendView[] = [{
  frontend: "192.0.2.80:80/TCP",
  id: 7,
  flags: ["external", "dsr-ipip"],
  affinityS: 10800,
  internal: [kernelBackend, { ...kernelBackend, index: 1, address: "fd60:1:2:4::2", flags: [] }],
  external: [kernelBackend],
  tables: { internal: 0, external: 33 },
}];

const backendUses: BackendUseView[] = [{
  address: "10.60.1.2",
  port: 8080,
  flags: ["local"],
  hits: 12,
  services: ["192.0.2.80:80/TCP", "10.96.0.7:80/TCP"],
}];

const sourceRanges: SourceRangeView[] = [{ prefix: "198.51.100.0/24", service: 7 }];

const tables: KernelTableView[] = [{
  table: 33,
  services: [7, 8],
  slots: 16381,
  shares: [
    { backend: "10.60.1.2:8080", slots: 8190, share: 0.49997 },
    { backend: "10.60.2.3:8080", slots: 8191, share: 0.50003 },
  ],
  moved: 120,
  young: 3,
  ask: 240,
}];

const serviceTrace: ServiceTraceView = {
  frontend: "192.0.2.80:80/TCP",
  client: "198.51.100.7:40000",
  service: 7,
  flags: ["external"],
  steps: [
    "service 7 (external); the client is external: externalTrafficPolicy decides",
    "2 backends take new connections (rows 1 and up)",
    "Maglev table at row 33: hash 0x0badcafe is slot 745 of 16381: now 0, before 0",
  ],
  verdict: "backend",
  backends: [kernelBackend],
  then: "SNAT: the destination becomes 10.60.1.2:8080, the source 192.168.60.1",
};

const mappings: MappingView[] = [{
  protocol: "TCP",
  client: "198.51.100.7:40000",
  frontend: "192.0.2.80:80",
  own: "192.168.60.1:40000",
  peer: "10.60.2.3:8080",
  state: "established",
  idle: 3,
}];

const prefilter: PrefilterView = {
  file: "/etc/pilus/denied",
  prefixes: [{ prefix: "203.0.113.0/24", line: 2 }, { prefix: "2001:db8:bad::/48", line: 3 }],
  dropped: { packets: 17, bytes: 1024 },
};

const identities: IdentityView[] = [
  { id: 1, labels: ["reserved:host"], endpoints: 0 },
  { id: 302, labels: labels("web"), endpoints: 1 },
];

const nodes: NodeView[] = [
  {
    name: "node-a",
    local: true,
    ipv4: "192.168.60.1",
    ipv6: "fd60:60::1",
    podCidrs: ["10.60.1.0/24", "fd60:1:2:3::/64"],
  },
  { name: "node-b", local: false, ipv4: "192.168.60.2", podCidrs: ["10.60.2.0/24"] },
];

const service = (id: number, frontend: string, backends: string[]): ServiceView => ({
  id,
  namespace: "demo",
  name: "web",
  portName: "http",
  type: "ClusterIP",
  frontend,
  port: 80,
  protocol: "TCP",
  backends: backends.map((address, i) => ({
    address,
    port: 8080,
    state: i === 2 ? "terminating" : "active",
    weight: 1,
    internal: i !== 2,
    external: false,
    hits: 10 * i,
    pod: `demo/web-7d5b9c7c4-x2x${i}`,
    node: i === 0 ? "node-a" : "node-b",
  })),
});

const services: ServiceView[] = [
  service(1, "10.96.0.80", ["10.60.1.2", "10.60.2.2", "10.60.2.3"]),
  service(2, "fd60:96::80", ["fd60:1:2:3::2", "fd60:1:2:4::2", "fd60:1:2:4::3"]),
  { ...service(3, "10.96.0.81", []), name: "empty" },
];

const maps: MapView[] = [
  {
    name: "pilus_ct",
    type: "lru_hash",
    keySize: 40,
    valueSize: 88,
    maxEntries: 262144,
    entries: 131,
    pressure: 0.0005,
  },
  { name: "pilus_runtime", type: "array", keySize: 4, valueSize: 8, maxEntries: 1 },
];

const mapRows = [
  {
    key: "10.60.1.2",
    value: { kind: 1, identity: 302, slot: 42, tunnel: "::", mac: "1a:2b:3c:00:00:02" },
  },
  {
    key: "fd60:1:2:4::2",
    value: { kind: 2, identity: 302, slot: 0, tunnel: "192.168.60.2", mac: "00:00:00:00:00:00" },
  },
];

const connections: ConnectionView[] = [
  {
    protocol: "TCP",
    initiator: "fd60:1:2:3:4444:5555:6666:3",
    initiatorPort: 45928,
    responder: "fd60:1:2:4:4444:5555:6666:2",
    responderPort: 8080,
    service: "[fd60:96::80]:80",
    state: "established",
    expires: 7998,
    packets: [10, 8],
    bytes: [1234, 1048576],
    initiatorIdentity: 303,
    responderIdentity: 302,
  },
  {
    protocol: "UDP",
    initiator: "10.60.1.3",
    initiatorPort: 5353,
    responder: "10.60.2.2",
    responderPort: 53,
    state: "open",
    expires: 58,
    packets: [1, 1],
    bytes: [70, 120],
    initiatorIdentity: 303,
    responderIdentity: 304,
  },
];

const ipcache: IpcacheView[] = [
  { prefix: "10.60.1.2", identity: 302, kind: "endpoint" },
  { prefix: "fd60:1:2:4::2", identity: 302, kind: "remote", tunnel: "192.168.60.2" },
  { prefix: "203.0.113.0/24", identity: 16777217, kind: "cidr" },
];

const metrics: MetricRow[] = [
  {
    name: "pilus_drop_count_total",
    type: "counter",
    help: "Packets dropped",
    labels: { reason: "Policy denied", direction: "ingress" },
    value: 7,
  },
  { name: "pilus_identity", type: "gauge", help: "Identities known", labels: {}, value: 17 },
];

const policy: PolicyView = {
  endpoint: 2,
  pod: "demo/web-7d5b9c7c4-x2x2",
  policy: 2,
  revision: 1795411700,
  ingress: { enforced: true },
  egress: { enforced: false },
  rules: [
    {
      direction: "ingress",
      verdict: "allow",
      identity: 303,
      labels: labels("client"),
      protocol: "TCP",
      port: "8080",
      precedence: 1,
      cookie: 7,
      rule: "NetworkPolicy demo/web ingress rule 1: from pods app=client in demo to TCP 8080",
    },
  ],
};

/** A drop by policy, between nodes. */
export const drop: FlowView = {
  time: "2026-11-23T05:28:20.770000000Z",
  type: "drop",
  verdict: "dropped",
  reason: "Policy denied",
  reasonCode: 133,
  more: "pilus policy get 4",
  point: "from-overlay",
  status: "new",
  direction: "ingress",
  endpoint: 4,
  interface: "pilus_vxlan",
  protocol: "TCP",
  source: { ip: "fd60:2::3", port: 45928, identity: 300, pod: "demo/guest" },
  destination: { ip: "fd60:1::2", port: 8080, identity: 301, pod: "demo/web-a" },
  tcpFlags: "SYN",
  length: 94,
  rule: { cookie: 7, text: "no rule allows it" },
};

/** A connection that a rule allowed. */
export const allowed: FlowView = {
  time: "2026-11-23T05:28:21.001000000Z",
  type: "verdict",
  verdict: "forwarded",
  point: "from-pod",
  status: "new",
  direction: "ingress",
  endpoint: 2,
  interface: "lxc0a3c01f2",
  protocol: "TCP",
  source: { ip: "10.60.1.3", port: 40000, identity: 303, pod: "demo/client" },
  destination: { ip: "10.60.1.2", port: 8080, identity: 302, pod: "demo/web-a" },
  tcpFlags: "SYN",
  length: 74,
  rule: { cookie: 8, text: "NetworkPolicy demo/web ingress rule 1" },
};

/** A packet to the world. */
export const trace: FlowView = {
  time: "2026-11-23T05:28:21.002000000Z",
  type: "trace",
  verdict: "forwarded",
  point: "to-stack",
  status: "established",
  interface: "lxc0a3c01f3",
  protocol: "ICMP",
  source: { ip: "10.60.1.3", identity: 303, pod: "demo/client" },
  destination: { ip: "203.0.113.1", identity: 9, labels: ["reserved:world-ipv4"] },
  icmpType: 8,
  length: 98,
};

function find(id: string): EndpointView {
  const found = endpoints.find((e) => String(e.id) === id || `${e.namespace}/${e.pod}` === id);
  if (found) return found;
  throw new ApiError(404, { code: "not-found", message: `There is no endpoint ${id}` });
}

/** The routes of such an agent. */
export const ROUTES: ApiRoutes = {
  "GET /v1/status": () => status,
  "GET /v1/endpoints": () => endpoints,
  "GET /v1/endpoints/{id}": ({ params }) => find(params.id!),
  "GET /v1/endpoints/{id}/policy": ({ params }) => find(params.id!) && policy,
  "GET /v1/identities": () => identities,
  "GET /v1/nodes": () => nodes,
  "GET /v1/services": () => services,
  "GET /v1/prefilter": () => prefilter,
  "GET /v1/lb/frontends": () => frontends,
  "GET /v1/lb/backends": () => backendUses,
  "GET /v1/lb/source-ranges": () => sourceRanges,
  "GET /v1/lb/maglev": () => tables,
  "GET /v1/lb/trace": ({ query }) =>
    query.get("port") === "80"
      ? serviceTrace
      : { ...serviceTrace, verdict: "no service", backends: [] },
  "GET /v1/nat": () => ({ rows: mappings, total: mappings.length }),
  "GET /v1/ipcache": () => ipcache,
  "GET /v1/maps": () => maps,
  "GET /v1/maps/{name}": ({ query }) => mapRows.slice(0, Number(query.get("limit"))),
  "GET /v1/maps/{name}/{key}": ({ params }) => mapRows.find(({ key }) => key === params.key),
  "GET /v1/ct": ({ query }) => {
    const { filter: { ips, protocols }, limit } = parseConnectionQuery(query);
    const rows = connections.filter(({ initiator, responder, protocol }) =>
      (ips?.some((ip) => ip === initiator || ip === responder) ?? true) &&
      (protocols?.includes(protocolNumber(protocol)!) ?? true)
    );
    return { rows: rows.slice(0, limit), total: rows.length };
  },
  "DELETE /v1/ct": () => ({ deleted: connections.length }),
  "GET /v1/metrics": () => metrics,
  "GET /v1/monitor": async function* ({ query }) {
    const { filter: { types, verdicts } } = parseFlowQuery(query);
    yield* [drop, allowed, trace].filter(({ type, verdict }) =>
      types!.some((number) => TYPE_NAMES.get(number) === type) &&
      (verdicts?.some((number) => VERDICT_NAMES.get(number) === verdict) ?? true)
    );
  },
  "GET /v1/trace-level": () => ({ level: "connections" }),
  "POST /v1/trace-level": ({ json }) => json(),
};

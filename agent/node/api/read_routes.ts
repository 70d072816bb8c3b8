/** The read-only half of the API: what the tables and the kernel say. */

import { BpfMap, features, MapType, type TypedMap } from "../../../datapath/bpf/mod.ts";
import {
  DropReason,
  EventType,
  type RuleKey,
  RuleVerdict,
  TraceLevel,
} from "../../../datapath/maps/generated.ts";
import { formatCidr, formatIp, parseCidr } from "../../../datapath/net/ip.ts";
import { isAddress } from "../ipcache/ipcache.ts";
import { VERSION } from "../config.ts";
import { endpointKey } from "../../api/endpoint.ts";
import { flushConnections, listConnections } from "../conntrack/connections.ts";
import { eventTypeName, protocolName } from "../observer/names.ts";
import { derivationFailures } from "../../core/derivation_failures.ts";
import { derivationProblems, type Problem } from "../../core/problem.ts";
import { formatLabels } from "../../cluster/labels.ts";
import { kernelTables } from "../services/inspect/kernel_view.ts";
import { rowsInUse } from "./map_usage.ts";
import { MAP_VIEWS } from "./map_views.ts";
import { metricRows, packetTotals } from "./metric_rows.ts";
import { METRICS_CONTENT_TYPE, metricsText } from "../../api/metrics_text.ts";
import type { AgentState } from "./agent_state.ts";
import { serviceViews } from "./service_views.ts";
import { ApiError, type ApiRequest, type ApiRoutes } from "../../api/server.ts";
import type { EndpointView } from "../../api/types.ts";
import type {
  FeatureView,
  FlowView,
  Health,
  IdentityView,
  IpcacheView,
  MapView,
  NodeView,
  PolicyView,
  PrefilterView,
  ReconcilerView,
  RuleView,
  StatusView,
} from "../../api/views.ts";

/** Share of a map's rows from which on status names it. */
const PRESSURE = 0.5;

/** Rows of a map that one answer has at most, unless asked for more. */
const DUMP_LIMIT = 10_000;

function notFound(message: string): ApiError {
  return new ApiError(404, { code: "not-found", message });
}

/** Well, when every reconciler is done and the sources have nothing broken. */
export function health(agent: AgentState): Health {
  if (agent.failure) return { ok: false, reason: agent.failure };
  const failing = agent.reconcilers().find(({ errors }) => errors > 0);
  if (failing) {
    const { name, errors, lastError } = failing;
    return { ok: false, reason: `${name}: ${errors} rows in error: ${lastError?.reason}` };
  }
  const [underived] = derivationFailures();
  if (underived) {
    const { table, key, reason } = underived;
    return { ok: false, reason: `table ${table} not derived${key && ` for ${key}`}: ${reason}` };
  }
  const failed = agent.manager.table.rows().filter(({ state }) => state === "failed");
  if (failed.length > 0) {
    return { ok: false, reason: `endpoint ${endpointKey(failed[0]!)}: ${failed[0]!.reason}` };
  }
  return { ok: true };
}

function problems(agent: AgentState): Problem[] {
  return [
    { rows: derivationProblems },
    agent.model.tables.problems,
    agent.model.nodeTables.problems,
    agent.model.policyTables.problems,
    agent.model.frontendTables.problems,
    agent.model.ipcacheTables.problems,
    agent.model.prefilterProblems,
  ].flatMap((table) => table.rows());
}

function reconcilerView(status: ReturnType<AgentState["reconcilers"]>[number]): ReconcilerView {
  const { lastSync, lastError, ...counts } = status;
  return {
    ...counts,
    ...(lastSync ? { lastSync: lastSync.toISOString() } : {}),
    ...(lastError ? { lastError: { ...lastError, at: lastError.at.toISOString() } } : {}),
  };
}

/** The maps that have rows; the ring buffer has none, and those of arrays mean nothing. */
function typedMaps(agent: AgentState): TypedMap<unknown, unknown>[] {
  return Object.values(agent.maps).filter((map) =>
    typeof map === "object" && !(map instanceof BpfMap)
  ) as unknown as TypedMap<unknown, unknown>[];
}

async function mapView(agent: AgentState, map: TypedMap<unknown, unknown>): Promise<MapView> {
  const { type, keySize, valueSize, maxEntries } = map.raw;
  const name = Object.entries(MapType).find(([, value]) => value === type)?.[0] ?? String(type);
  const entries = await rowsInUse(agent, map);
  return {
    name: map.name,
    type: name.toLowerCase(),
    keySize,
    valueSize,
    maxEntries,
    ...(entries === undefined ? {} : { entries, pressure: entries / maxEntries }),
  };
}

async function mapViews(agent: AgentState): Promise<MapView[]> {
  const views: MapView[] = [];
  for (const map of typedMaps(agent)) views.push(await mapView(agent, map));
  return views;
}

function featureViews(): FeatureView[] {
  const found = features();
  const row = (name: string, has: boolean, yes: string, no: string, cost: string) => ({
    name,
    found: has ? yes : no,
    cost: has ? "" : cost,
  });
  return [
    row(
      "attach",
      found.tcx,
      "tcx",
      "clsact",
      "a program is swapped with its filter, not as a link",
    ),
    row("map batches", found.batch, "yes", "no", "one call a row when tables are filled"),
    row(
      "refusal at connect()",
      found.setRetval,
      "ECONNREFUSED",
      "EPERM",
      "a service without backend fails with another errno",
    ),
  ];
}

async function statusView(agent: AgentState): Promise<StatusView> {
  const { config, manager } = agent;
  const endpoints = manager.table.rows();
  const self = agent.model.self;
  return {
    version: VERSION,
    node: config.nodeName,
    pid: Deno.pid,
    uptime: Math.round((Date.now() - agent.startedAt.getTime()) / 1000),
    health: health(agent),
    source: `files:${config.manifests}`,
    routing: config.routing,
    masquerade: config.masquerade,
    devices: [...agent.devices],
    xdp: [...agent.wires],
    localPath: agent.localPath,
    podCidrs: [self?.podCidrIpv4, self?.podCidrIpv6].filter((c) => c !== undefined).map(formatCidr),
    addresses: manager.usage().map(({ family, used, capacity }) => ({
      family: String(family),
      used: Number(used),
      capacity: Number(capacity),
    })),
    endpoints: {
      total: endpoints.length,
      ready: endpoints.filter(({ state }) => state === "ready").length,
    },
    identities: agent.model.tables.CiliumIdentity.size,
    services: agent.model.frontendTables.frontends.size,
    policies: agent.model.policyTables.compiled.size,
    nodes: agent.model.nodeTables.nodes.size,
    reconcilers: agent.reconcilers().map(reconcilerView),
    pressure: (await mapViews(agent)).filter(({ pressure = 0 }) => pressure > PRESSURE),
    shortages: agent.shortages.recent(),
    servicesWithoutTable: agent.servicesWithoutTable,
    features: featureViews(),
    problems: problems(agent),
    events: { seen: agent.flows.seen, lost: agent.flows.lost },
    ...(config.cniConfDir ? { cni: { config: config.cniConfDir, binary: config.cniBinDir } } : {}),
    memory: { rss: Deno.memoryUsage().rss },
  };
}

function identityViews(agent: AgentState): IdentityView[] {
  const counts = new Map<number, number>();
  for (const { identity } of agent.model.identified.rows()) {
    counts.set(identity, (counts.get(identity) ?? 0) + 1);
  }
  return agent.model.policyTables.identities.rows().map(({ id, labels }) => ({
    id,
    labels: formatLabels(labels),
    endpoints: counts.get(id) ?? 0,
  })).sort((a, b) => a.id - b.id);
}

function nodeViews(agent: AgentState): NodeView[] {
  return agent.model.nodeTables.nodes.rows().map((node) => ({
    name: node.name,
    local: node.local,
    ...(node.ipv4 ? { ipv4: formatIp(node.ipv4) } : {}),
    ...(node.ipv6 ? { ipv6: formatIp(node.ipv6) } : {}),
    podCidrs: [node.podCidrIpv4, node.podCidrIpv6].filter((c) => c !== undefined).map(formatCidr),
  }));
}

function endpointViews(agent: AgentState): EndpointView[] {
  return agent.manager.table.rows().map((endpoint) => {
    const row = agent.model.identified.get(String(endpoint.id));
    const wanted = agent.model.policyTables.wanted.get(String(endpoint.id));
    const assignment = agent.model.assignments.get(String(endpoint.id));
    return {
      ...endpoint,
      identity: row?.identity ?? 0,
      labels: row ? formatLabels(row.labels) : [],
      enforcing: {
        ingress: wanted?.policy.ingress.enforced ?? false,
        egress: wanted?.policy.egress.enforced ?? false,
      },
      policy: assignment?.policy ?? 0,
      revision: assignment?.revision ?? 0,
    };
  }).sort((a, b) => a.id - b.id);
}

function oneEndpoint(agent: AgentState, reference: string): EndpointView {
  const found = endpointViews(agent).find((e) =>
    String(e.id) === reference || `${e.namespace}/${e.pod}` === reference
  );
  if (!found) throw notFound(`There is no endpoint ${reference}; see \`pilus endpoint list\``);
  return found;
}

function portText({ port, prefixLength, protocol }: RuleKey): string {
  if (protocol === 0 || prefixLength === 0) return "any";
  const span = 1 << (16 - prefixLength);
  return span === 1 ? String(port) : `${port}-${port + span - 1}`;
}

/** As the kernel has it. */
function policyView(agent: AgentState, reference: string): PolicyView {
  const endpoint = oneEndpoint(agent, reference);
  const { policy: number, revision } = endpoint;
  const labels = new Map(
    agent.model.policyTables.identities.rows().map((row) => [row.id, formatLabels(row.labels)]),
  );
  const rules: RuleView[] = [];
  for (const [key, value] of agent.maps.pilus_rules.entries()) {
    if (key.policy !== number) continue;
    rules.push({
      direction: key.direction === 0 ? "ingress" : "egress",
      verdict: value.verdict === RuleVerdict.ALLOW ? "allow" : "deny",
      identity: key.identity,
      labels: key.identity === 0 ? ["any"] : labels.get(key.identity) ?? [],
      protocol: key.protocol === 0 ? "any" : protocolName(key.protocol),
      port: portText(key),
      precedence: value.precedence,
      cookie: value.cookie,
      rule: agent.model.cookies.get(value.cookie)?.text ?? "",
    });
  }
  rules.sort((a, b) =>
    a.direction.localeCompare(b.direction) || b.precedence - a.precedence ||
    a.identity - b.identity || a.port.localeCompare(b.port)
  );
  return {
    endpoint: endpoint.id,
    pod: `${endpoint.namespace}/${endpoint.pod}`,
    policy: number,
    revision,
    ingress: { enforced: endpoint.enforcing.ingress },
    egress: { enforced: endpoint.enforcing.egress },
    rules,
  };
}

function ipcacheViews(agent: AgentState): IpcacheView[] {
  return agent.model.ipcacheTables.ipcache.rows().map((row) => ({
    // a policy's prefix, even of one address, is shown as one
    prefix: isAddress(row) && row.kind === "cidr" ? formatCidr(parseCidr(row.prefix)) : row.prefix,
    identity: row.identity,
    kind: row.kind,
    ...(row.tunnel ? { tunnel: formatIp(row.tunnel) } : {}),
  }));
}

function prefilterView(agent: AgentState): PrefilterView {
  const dropped = packetTotals(agent).filter(({ reason }) =>
    reason === DropReason.DENIED_BY_PREFILTER
  );
  return {
    ...(agent.config.prefilter ? { file: agent.config.prefilter } : {}),
    prefixes: agent.model.prefilter.rows().map(({ cidr, line }) => ({
      prefix: formatCidr(cidr),
      line,
    })),
    dropped: {
      packets: dropped.reduce((sum, { packets }) => sum + packets, 0),
      bytes: dropped.reduce((sum, { bytes }) => sum + bytes, 0),
    },
  };
}

function findMap(agent: AgentState, name: string): TypedMap<unknown, unknown> {
  const map = typedMaps(agent).find((m) => m.name === name || m.name === `pilus_${name}`);
  if (map) return map;
  const names = typedMaps(agent).map((m) => m.name).join(", ");
  throw notFound(`There is no map ${name}; there are ${names}`);
}

/** Values as JSON: addresses and MACs as text, 64-bit numbers as numbers, other bytes in hexadecimal. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) {
    if (value.length === 16) return formatIp(value);
    return [...value].map((b) => b.toString(16).padStart(2, "0")).join(
      value.length === 6 ? ":" : "",
    );
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  }
  return value;
}

function dump(agent: AgentState, name: string, limit: number) {
  const map = findMap(agent, name);
  if (map.name === "pilus_maglev") {
    return kernelTables(agent.maps, agent.config.maglevSize).slice(0, limit).map((
      { table, ...rest },
    ) => ({ key: table, value: rest }));
  }
  const view = MAP_VIEWS[map.name] ?? ((key, value) => ({ key, value }));
  const rows: { key: unknown; value: unknown }[] = [];
  for (const [key, value] of map.entries()) {
    const row = view(key, value);
    if (!row) continue;
    rows.push({ key: plain(row.key), value: plain(row.value) });
    if (rows.length >= limit) break;
  }
  return rows;
}

function mapEntry(agent: AgentState, name: string, keyText: string) {
  let wanted: string;
  try {
    wanted = JSON.stringify(JSON.parse(keyText));
  } catch {
    wanted = JSON.stringify(keyText);
  }
  const row = dump(agent, name, Infinity).find(({ key }) => JSON.stringify(key) === wanted);
  if (!row) throw notFound(`Map ${name} has no key ${keyText}; see \`pilus map dump ${name}\``);
  return row;
}

/** Flows as they come, some at a time, for as long as the client listens; a slow one loses the oldest. */
async function* monitor(
  agent: AgentState,
  { query, signal }: ApiRequest,
): AsyncGenerator<FlowView[]> {
  const wanted = query.get("type")?.split(",");
  const types = Object.values(EventType).filter((type) =>
    wanted?.includes(eventTypeName(type)) ?? true
  );
  using listener = agent.flows.listen(types);
  while (!signal.aborted) yield await listener.take(signal);
}

const LEVELS: Record<string, number> = {
  none: TraceLevel.LEVEL_NONE,
  connections: TraceLevel.LEVEL_CONNECTIONS,
  packets: TraceLevel.LEVEL_PACKETS,
};

/** Routes by `METHOD /path`. */
export function readRoutes(agent: AgentState): ApiRoutes {
  return {
    "GET /v1/health": () => health(agent),
    "GET /v1/status": () => statusView(agent),
    "GET /v1/endpoints": () => endpointViews(agent),
    "GET /v1/endpoints/{id}": ({ params }) => oneEndpoint(agent, params.id!),
    "GET /v1/endpoints/{id}/policy": ({ params }) => policyView(agent, params.id!),
    "GET /v1/identities": () => identityViews(agent),
    "GET /v1/nodes": () => nodeViews(agent),
    "GET /v1/services": () => serviceViews(agent),
    "GET /v1/ipcache": () => ipcacheViews(agent),
    "GET /v1/prefilter": () => prefilterView(agent),
    "GET /v1/maps": () => mapViews(agent),
    "GET /v1/maps/{name}": ({ params, query }) =>
      dump(agent, params.name!, Number(query.get("limit") ?? DUMP_LIMIT)),
    "GET /v1/maps/{name}/{key}": ({ params }) => mapEntry(agent, params.name!, params.key!),
    "GET /v1/ct": ({ query }) => {
      const limit = Number(query.get("limit") ?? DUMP_LIMIT);
      return [...listConnections(agent.maps.pilus_ct).take(limit)];
    },
    "DELETE /v1/ct": async () => ({ deleted: await flushConnections(agent.maps.pilus_ct) }),
    "GET /v1/metrics": () => metricRows(agent),
    "GET /metrics": async () =>
      new Response(metricsText(await metricRows(agent)), {
        headers: { "content-type": METRICS_CONTENT_TYPE },
      }),
    "GET /v1/monitor": (request) => monitor(agent, request),
    "POST /v1/trace-level": async ({ json }) => {
      const { level } = await json<{ level?: string }>();
      const number = LEVELS[level ?? ""];
      if (number === undefined) {
        throw new ApiError(400, {
          code: "invalid",
          message: `level must be one of ${Object.keys(LEVELS).join(", ")}`,
        });
      }
      agent.maps.pilus_runtime.set(0, {
        traceLevel: number,
        localPath: Number(agent.localPath.on),
      });
      return { level };
    },
  };
}

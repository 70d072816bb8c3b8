/** Who answers for a service's port, and who of them is asked. */

import { equalIp, formatIp, parseIp, tryParseIp } from "../../../datapath/net/ip.ts";
import { parseLabels } from "../../cluster/labels.ts";
import type {
  CiliumEndpoint,
  EndpointSlice,
  Service,
  ServicePort,
} from "../../kubernetes/resources.ts";
import { resourceKey } from "../../kubernetes/resources.ts";
import { unpackEndpoints } from "../../kubernetes/slice_endpoints.ts";
import type { ServiceSettings } from "./annotations.ts";
import type { BackendState } from "./backend_state.ts";

/** Who answers for a frontend. */
export interface FrontendBackend {
  /** 16 bytes. */
  address: Uint8Array<ArrayBuffer>;
  port: number;
  state: BackendState;
  /** Share of new connections, where a table chooses; 0: none. */
  weight: number;
  /** A pod of this node, or one of its own addresses. */
  local: boolean;
  node?: string;
  zone?: string;
  /** Zones and nodes whose clients it is meant for. */
  forZones?: string[];
  forNodes?: string[];
  /** `namespace/name`. */
  pod?: string;
}

/**
 * Backends as text, which is never changed: an object for each backend of every service would be most
 * of the agent's memory. Equal texts: equal backends in equal order.
 */
export interface BackendList {
  text: string;
  length: number;
}

type PackedBackend = [
  address: string,
  port: number,
  state: BackendState,
  weight: number,
  local: 0 | 1,
  node?: string | null,
  zone?: string | null,
  pod?: string | null,
  forZones?: string[] | null,
  forNodes?: string[] | null,
];

export function packBackends(backends: readonly FrontendBackend[]): BackendList {
  const rows = backends.map((b): PackedBackend => {
    const row: PackedBackend = [formatIp(b.address), b.port, b.state, b.weight, b.local ? 1 : 0];
    const more = [b.node, b.zone, b.pod, b.forZones, b.forNodes];
    while (more.length > 0 && more.at(-1) === undefined) more.pop();
    return [...row, ...more] as PackedBackend;
  });
  return { text: JSON.stringify(rows), length: rows.length };
}

/** Objects anew with each call. */
export function unpackBackends({ text }: BackendList): FrontendBackend[] {
  return (JSON.parse(text) as PackedBackend[]).map((row) => {
    const [address, port, state, weight, local, node, zone, pod, forZones, forNodes] = row;
    return {
      address: parseIp(address),
      port,
      state,
      weight,
      local: local === 1,
      ...(node ? { node } : {}),
      ...(zone ? { zone } : {}),
      ...(forZones ? { forZones } : {}),
      ...(forNodes ? { forNodes } : {}),
      ...(pod ? { pod } : {}),
    };
  });
}

/** Whether the list has a backend of that address and port. Reads the text only. */
export function hasBackend(
  { text }: BackendList,
  { address, port }: Pick<FrontendBackend, "address" | "port">,
): boolean {
  return text.includes(`["${formatIp(address)}",${port},`);
}

/** `address:port`, which no two backends of a port have in common. */
export function backendEnd({ address, port }: Pick<FrontendBackend, "address" | "port">): string {
  const ip = formatIp(address);
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function sliceBackends(
  slices: readonly EndpointSlice[],
  port: ServicePort,
  publishNotReady: boolean,
): Omit<FrontendBackend, "local" | "weight">[] {
  const backends: Omit<FrontendBackend, "local" | "weight">[] = [];
  for (const slice of slices) {
    const number = (slice.ports ?? []).find((candidate) =>
      (candidate.name ?? "") === (port.name ?? "") &&
      (candidate.protocol ?? "TCP") === (port.protocol ?? "TCP")
    )?.port;
    if (!number) continue;
    for (const endpoint of slice.endpoints ? unpackEndpoints(slice.endpoints) : []) {
      const { addresses, conditions = {}, nodeName, targetRef, zone, hints } = endpoint;
      // the conditions' defaults are those of the EndpointSlice API: unknown counts as ready
      const ready = conditions.ready ?? true;
      const draining = conditions.terminating === true && (conditions.serving ?? ready) === true;
      const state = ready || publishNotReady ? "active" : draining ? "terminating" : "unready";
      for (const text of addresses) {
        const address = tryParseIp(text);
        if (!address) continue;
        const pod = targetRef?.kind === "Pod" && targetRef.name
          ? `${targetRef.namespace ?? slice.metadata.namespace}/${targetRef.name}`
          : undefined;
        backends.push({
          address,
          port: number,
          state,
          ...(nodeName ? { node: nodeName } : {}),
          ...(zone ? { zone } : {}),
          ...(hints?.forZones ? { forZones: hints.forZones.map(({ name }) => name) } : {}),
          ...(hints?.forNodes ? { forNodes: hints.forNodes.map(({ name }) => name) } : {}),
          ...(pod ? { pod } : {}),
        });
      }
    }
  }
  return backends;
}

/** Whether the service selects the published pod. */
export function selects(service: Service, { metadata, status }: CiliumEndpoint): boolean {
  const selector = Object.entries(service.spec.selector ?? {});
  if (selector.length === 0 || metadata.namespace !== service.metadata.namespace) return false;
  const labels = parseLabels(status.identity.labels);
  return selector.every(([key, value]) => (labels[`k8s:${key}`] ?? metadata.labels[key]) === value);
}

/** What a controller would put in the EndpointSlices: the published pods that the selector selects. */
function selectedBackends(
  service: Service,
  port: ServicePort,
  endpoints: Iterable<CiliumEndpoint>,
): Omit<FrontendBackend, "local" | "weight">[] {
  const backends: Omit<FrontendBackend, "local" | "weight">[] = [];
  const { publishNotReadyAddresses = false } = service.spec;
  for (const endpoint of endpoints) {
    if (!selects(service, endpoint)) continue;
    const { metadata, status } = endpoint;
    const ready = publishNotReadyAddresses || status.state === undefined ||
      status.state === "ready";
    const target = port.targetPort ?? port.port;
    const number = typeof target === "number" ? target : status["named-ports"]
      ?.find(({ name, protocol }) => name === target && protocol === (port.protocol ?? "TCP"))
      ?.port;
    if (number === undefined) continue;
    for (const { ipv4, ipv6 } of status.networking.addressing) {
      for (const text of [ipv4, ipv6]) {
        const address = text === undefined ? undefined : tryParseIp(text);
        if (!address) continue;
        backends.push({
          address,
          port: number,
          state: ready ? "active" : "unready",
          node: status.networking.node,
          pod: resourceKey({ kind: "Pod", metadata }),
        });
      }
    }
  }
  return backends;
}

/** Where backends of a port are looked for. */
export interface BackendSources {
  /** The service's; undefined when it has none: its selector is asked then. */
  slices: readonly EndpointSlice[] | undefined;
  /** Published pods of the service's namespace, where there are no slices. */
  endpoints: Iterable<CiliumEndpoint>;
  settings: ServiceSettings;
  isLocal: (address: Uint8Array) => boolean;
}

/** All backends of a port, each once, sorted by address and port. */
export function portBackends(
  service: Service,
  port: ServicePort,
  { slices, endpoints, settings, isLocal }: BackendSources,
): FrontendBackend[] {
  const found = slices
    ? sliceBackends(slices, port, service.spec.publishNotReadyAddresses ?? false)
    : selectedBackends(service, port, endpoints);
  const unique = new Map<string, FrontendBackend>();
  for (const backend of found) {
    const ip = formatIp(backend.address);
    const end = backendEnd(backend);
    if (unique.get(end)?.state === "active") continue;
    const given = settings.states.get(end) ?? settings.states.get(ip);
    unique.set(end, {
      ...backend,
      state: given && backend.state === "active" ? given : backend.state,
      weight: settings.weights.get(end) ?? settings.weights.get(ip) ?? 1,
      local: isLocal(backend.address),
    });
  }
  return [...unique].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).map(([, backend]) => backend);
}

/** The client's place. */
export interface Place {
  node: string;
  /** The node's own addresses. */
  addresses: readonly Uint8Array[];
  zone: string | undefined;
}

/** What decides who of the backends is asked. */
export interface Preference {
  /** Those of this node alone. */
  localOnly: boolean;
  /** trafficDistribution. */
  near: Service["spec"]["trafficDistribution"] | undefined;
}

/** Backends in the order of a set's rows, and how many of them get new connections. */
export interface Chosen {
  backends: BackendList;
  count: number;
}

/** Who of a family's backends is asked by clients at `place`. */
export function choose(
  family: readonly FrontendBackend[],
  { localOnly, near }: Preference,
  place: Place,
): Chosen {
  const able = localOnly ? family.filter(({ local }) => local) : family;
  const asked = new Set(nearest(eligible(able), near, place));
  const rest = able.filter((backend) => !asked.has(backend));
  return { backends: packBackends([...asked, ...rest]), count: asked.size };
}

function eligible(backends: readonly FrontendBackend[]): FrontendBackend[] {
  const able = backends.filter(({ weight }) => weight > 0);
  for (const state of ["active", "terminating", "quarantined"] as const) {
    const found = able.filter((backend) => backend.state === state);
    if (found.length > 0) return found;
  }
  return [];
}

function isOn(place: Place, { node, local }: FrontendBackend): boolean {
  if (local || node === place.node) return true;
  const ip = node === undefined ? undefined : tryParseIp(node);
  return ip !== undefined && place.addresses.some((own) => equalIp(own, ip));
}

/**
 * Hints count when every backend has some and one is for here, as in kube-proxy; without them
 * trafficDistribution is followed by this node itself.
 */
function nearest(
  backends: FrontendBackend[],
  near: Preference["near"],
  place: Place,
): FrontendBackend[] {
  if (backends.length > 0 && backends.every(({ forNodes }) => forNodes?.length)) {
    const here = backends.filter(({ forNodes }) => forNodes!.includes(place.node));
    if (here.length > 0) return here;
  }
  if (place.zone && backends.length > 0 && backends.every(({ forZones }) => forZones?.length)) {
    const here = backends.filter(({ forZones }) => forZones!.includes(place.zone!));
    if (here.length > 0) return here;
  }
  if (near === "PreferSameNode") {
    const here = backends.filter((backend) => isOn(place, backend));
    if (here.length > 0) return here;
  }
  if (near && place.zone) {
    const here = backends.filter(({ zone }) => zone === place.zone);
    if (here.length > 0) return here;
  }
  return backends;
}

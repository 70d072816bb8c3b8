/** The backends of a service port: the endpoints of its EndpointSlices, or the pods that it selects. */

import { formatIp, formatSocketAddress, parseIp, tryParseIp } from "../../../datapath/net/ip.ts";
import { namespaceOf, type RemoteAddress } from "../../cluster/rows.ts";
import type { EndpointSlice, Service, ServicePort } from "../../kubernetes/resources.ts";
import { unpackEndpoints } from "../../kubernetes/slice_endpoints.ts";
import type { ServiceSettings } from "./annotations.ts";
import { type Backend, BACKEND_STATES, type BackendState } from "./backend.ts";

function* sliceBackends(
  slices: readonly EndpointSlice[],
  port: ServicePort,
  publishNotReady: boolean,
): Generator<Backend> {
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
      // the API gives no meaning to those beyond the first
      const address = tryParseIp(addresses[0] ?? "");
      if (!address) continue;
      const pod = targetRef?.kind === "Pod" && targetRef.name
        ? `${targetRef.namespace ?? slice.metadata.namespace}/${targetRef.name}`
        : undefined;
      const backend = unplaced(address, number, state);
      if (nodeName) backend.node = nodeName;
      if (zone) backend.zone = zone;
      if (hints?.forZones) backend.forZones = hints.forZones.map(({ name }) => name);
      if (hints?.forNodes) backend.forNodes = hints.forNodes.map(({ name }) => name);
      if (pod) backend.pod = pod;
      yield backend;
    }
  }
}

/** Before settings give it a weight, and its address a place. */
function unplaced(address: Uint8Array<ArrayBuffer>, port: number, state: BackendState): Backend {
  return { address, port, state, weight: 1, local: false };
}

/** Whether the service selects the pod with the published address. */
export function selects(service: Service, address: RemoteAddress): boolean {
  const selector = Object.entries(service.spec.selector ?? {});
  if (selector.length === 0 || namespaceOf(address) !== service.metadata.namespace) return false;
  return selector.every(([key, value]) => address.labels[key] === value);
}

/** What a controller would put in the EndpointSlices: the published pods that the selector selects. */
function* selectedBackends(
  service: Service,
  port: ServicePort,
  addresses: Iterable<RemoteAddress>,
): Generator<Backend> {
  const { publishNotReadyAddresses = false } = service.spec;
  for (const published of addresses) {
    if (!selects(service, published)) continue;
    const { prefix, node, pod, namedPorts, ready } = published;
    const target = port.targetPort || port.port;
    const number = typeof target === "number" ? target : namedPorts
      .find(({ name, protocol }) => name === target && protocol === (port.protocol ?? "TCP"))
      ?.port;
    if (number === undefined) continue;
    const state = ready || publishNotReadyAddresses ? "active" : "unready";
    yield { ...unplaced(parseIp(prefix), number, state), node, pod };
  }
}

/** Where the backends of a port come from. */
export interface BackendSources {
  /** The service's; undefined when it has none: its selector counts then. */
  slices: readonly EndpointSlice[] | undefined;
  /** Of published pods of the service's namespace, where there are no slices. */
  addresses: Iterable<RemoteAddress>;
  settings: ServiceSettings;
  /** @param ip the address as text */
  isLocal: (address: Uint8Array, ip: string) => boolean;
}

/**
 * All backends of a port, each once, sorted by address and port. Slices may name an address several
 * times while it moves from one to another: its best state counts.
 */
export function portBackends(
  service: Service,
  port: ServicePort,
  { slices, addresses, settings, isLocal }: BackendSources,
): Backend[] {
  const found = slices
    ? sliceBackends(slices, port, service.spec.publishNotReadyAddresses ?? false)
    : selectedBackends(service, port, addresses);
  const all = Array.from(found, (backend): Placed => {
    const ip = formatIp(backend.address);
    return { ip, end: formatSocketAddress(ip, backend.port), backend };
  });
  all.sort((a, b) => a.end < b.end ? -1 : a.end > b.end ? 1 : 0);
  const unique: Placed[] = [];
  for (const each of all) {
    const other = unique.at(-1);
    if (other?.end !== each.end) unique.push(each);
    else if (isFitter(each.backend, other.backend)) unique[unique.length - 1] = each;
  }
  return unique.map((placed) => {
    const { backend } = placed;
    const given = settingOf(placed, settings.states);
    if (given && backend.state === "active") backend.state = given;
    backend.weight = settingOf(placed, settings.weights) ?? 1;
    backend.local = isLocal(backend.address, placed.ip);
    return backend;
  });
}

/** A backend and the texts of its address, without the port and with it. */
interface Placed {
  ip: string;
  end: string;
  backend: Backend;
}

/** What is set for the backend, with its port before without; mostly nothing is set at all. */
function settingOf<T>({ ip, end }: Placed, settings: ReadonlyMap<string, T>): T | undefined {
  return settings.size === 0 ? undefined : settings.get(end) ?? settings.get(ip);
}

/** Which of two entries of one address and port counts, in whatever order they come. */
function isFitter(a: Backend, b: Backend): boolean {
  const [first, second] = [a, b].map(({ state }) => BACKEND_STATES.indexOf(state));
  if (first !== second) return first! < second!;
  const text = ({ pod, node, zone, forZones, forNodes }: Backend) =>
    JSON.stringify([pod, node, zone, forZones, forNodes]);
  return text(a) < text(b);
}

/** Services as people see them. */

import { ServiceScope } from "../../../../datapath/maps/generated.ts";
import { formatIp, isLoopback } from "../../../../datapath/net/ip.ts";
import { backendEnd, type Chosen, unpackBackends } from "../backends.ts";
import { type Frontend, isExternal } from "../frontends.ts";
import { serviceKeyText, type ServiceMaps, type ServiceRow } from "../kernel/service_maps.ts";
import { serviceKey } from "../kernel/service_numbers.ts";
import type { Table } from "../../../core/table.ts";
import type { ServiceView } from "../../../api/views.ts";

const { SCOPE_INSIDE, SCOPE_OUTSIDE } = ServiceScope;

/** What the views are made of. */
export interface ServiceState {
  frontends: Table<Frontend>;
  services: Table<ServiceRow>;
  serviceMaps: ServiceMaps;
}

/** Every frontend that can be reached over a network, by number. */
export function serviceViews(state: ServiceState): ServiceView[] {
  return state.frontends.rows()
    .filter(({ address, kind }) => kind !== "Reserved" && !isLoopback(address))
    .map((frontend) => serviceView(state, frontend))
    .sort((a, b) => a.id - b.id || (frontText(a) < frontText(b) ? -1 : 1));
}

function frontText({ frontend, port }: ServiceView): string {
  return `${frontend}|${port}`;
}

function serviceView(state: ServiceState, f: Frontend): ServiceView {
  const row = state.services.get(serviceKeyText(serviceKey(f)));
  const hits = row ? hitsOf(state, f, row) : new Map<string, number>();
  const asked = ({ backends, count }: Chosen) =>
    new Set(unpackBackends(backends).slice(0, count).map(backendEnd));
  const inside = asked(f.inside), outside = asked(f.outside);
  return {
    id: row?.id ?? 0,
    namespace: f.namespace,
    name: f.name,
    ...(f.portName ? { portName: f.portName } : {}),
    type: f.kind,
    frontend: formatIp(f.address),
    port: f.port,
    protocol: f.protocol,
    ...(isExternal(f)
      ? {
        forwarding: f.forwarding,
        algorithm: f.algorithm,
        externalTrafficPolicy: f.externalTrafficPolicy,
      }
      : {}),
    internalTrafficPolicy: f.internalTrafficPolicy,
    ...(f.affinityS ? { affinitySeconds: f.affinityS } : {}),
    ...(f.sourceRanges ? { sourceRanges: [...f.sourceRanges] } : {}),
    backends: unpackBackends(f.backends).map((backend) => ({
      address: formatIp(backend.address),
      port: backend.port,
      state: backend.state,
      weight: backend.weight,
      inside: inside.has(backendEnd(backend)),
      outside: outside.has(backendEnd(backend)),
      hits: hits.get(backendEnd(backend)) ?? 0,
      ...(backend.pod ? { pod: backend.pod } : {}),
      ...(backend.node ? { node: backend.node } : {}),
    })),
  };
}

/** Frontends that ask the same backends share their counts. */
function hitsOf(
  { serviceMaps }: ServiceState,
  f: Frontend,
  row: ServiceRow,
): Map<string, number> {
  const hits = new Map<string, number>();
  const add = ({ backends }: Chosen, scope: number) => {
    const ends = unpackBackends(backends).map(backendEnd);
    serviceMaps.hits(row, scope).forEach((count, i) => {
      const end = ends[i];
      if (end !== undefined) hits.set(end, (hits.get(end) ?? 0) + Number(count));
    });
  };
  add(f.inside, SCOPE_INSIDE);
  const [inside, outside] = row.sides;
  if (outside.content !== inside.content) add(f.outside, SCOPE_OUTSIDE);
  return hits;
}

/** Services with their backends, and how often each was chosen. */

import { formatIp, isLoopback } from "../../../../datapath/net/ip.ts";
import { unpackBackends } from "../backend.ts";
import { type Choice, chosenIndices } from "../backend_choice.ts";
import { type Frontend, isExternal } from "../frontend.ts";
import type { ServiceMaps } from "../kernel/service_maps.ts";
import {
  EXTERNAL,
  INTERNAL,
  serviceKey,
  serviceKeyText,
  type ServiceRow,
} from "../kernel/service_row.ts";
import type { Table } from "../../../core/table.ts";
import type { ServiceView } from "../../../api/views.ts";

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
  const hits = row ? hitsOf(state, f, row) : [];
  const chosen = (choice: Choice) => new Set(chosenIndices(choice).slice(0, choice.count));
  const internal = chosen(f.internal), external = chosen(f.external);
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
    backends: unpackBackends(f.backends).map((backend, i) => ({
      address: formatIp(backend.address),
      port: backend.port,
      state: backend.state,
      weight: backend.weight,
      internal: internal.has(i),
      external: external.has(i),
      hits: hits[i] ?? 0,
      ...(backend.pod ? { pod: backend.pod } : {}),
      ...(backend.node ? { node: backend.node } : {}),
    })),
  };
}

/** How often each backend was chosen. Frontends with the same backends share their counts. */
function hitsOf({ serviceMaps }: ServiceState, f: Frontend, row: ServiceRow): number[] {
  const hits = new Array<number>(f.backends.length).fill(0);
  const add = (choice: Choice, scope: number) => {
    const indices = chosenIndices(choice);
    serviceMaps.hits(row, scope).forEach((count, i) => {
      const index = indices[i];
      if (index !== undefined) hits[index]! += Number(count);
    });
  };
  add(f.internal, INTERNAL);
  if (row.sides[EXTERNAL].content !== row.sides[INTERNAL].content) add(f.external, EXTERNAL);
  return hits;
}

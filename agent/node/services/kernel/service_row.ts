/** A frontend as the kernel's maps have it, before it has ranges of their arrays. */

import { type ServiceKey, ServiceScope } from "../../../../datapath/maps/generated.ts";
import { formatIp } from "../../../../datapath/net/ip.ts";
import { Table } from "../../../core/table.ts";
import { type BackendSet, EMPTY_SET, sameSet } from "./backend_set.ts";

/** Index of what is for clients in the cluster, and of what is for those outside of it. */
export const INTERNAL = ServiceScope.SCOPE_INTERNAL, EXTERNAL = ServiceScope.SCOPE_EXTERNAL;
export const SCOPES = [INTERNAL, EXTERNAL] as const;
export type Scope = typeof SCOPES[number];

/** IANA protocol numbers. */
export const PROTOCOLS = { TCP: 6, UDP: 17 } as const;

export interface ServiceRow {
  key: ServiceKey;
  /** Number of the service's port. */
  id: number;
  /** `ServiceFlags`. */
  flags: number;
  affinityS: number;
  /** Whether a Maglev table chooses. One backend has a table too: the next one is made from it. */
  maglev: boolean;
  /** By {@linkcode Scope}. */
  sides: readonly [BackendSet, BackendSet];
}

/** The kernel's key of a frontend. */
export function serviceKey(
  { address, port, protocol }: {
    address: Uint8Array<ArrayBuffer>;
    port: number;
    protocol: keyof typeof PROTOCOLS;
  },
): ServiceKey {
  return { address, port, protocol: PROTOCOLS[protocol] };
}

export function serviceKeyText({ address, port, protocol }: ServiceKey): string {
  return [formatIp(address), port, protocol].join("|");
}

export function sameService(a: ServiceRow, b: ServiceRow): boolean {
  return a.id === b.id && a.flags === b.flags && a.affinityS === b.affinityS &&
    a.maglev === b.maglev &&
    a.sides.every((side, scope) => sameSet(side, b.sides[scope]!));
}

export function serviceTable(): Table<ServiceRow> {
  return new Table<ServiceRow>({
    name: "services",
    key: ({ key }) => serviceKeyText(key),
    equal: sameService,
  });
}

/** Equals no set that is wanted. */
const UNKNOWN: BackendSet = { ...EMPTY_SET, content: "?" };

/** A row that equals none that is wanted: what the kernel has differs, or is not known. */
export function unknownRow(key: ServiceKey, id = 0): ServiceRow {
  return { key, id, flags: 0, affinityS: 0, maglev: false, sides: [UNKNOWN, UNKNOWN] };
}

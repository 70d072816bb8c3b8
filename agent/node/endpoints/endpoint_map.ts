/** Rows of pilus_endpoints: what the programs know of a pod. */

import type { TypedMap } from "../../../datapath/bpf/mod.ts";
import type { Endpoint as EndpointValue } from "../../../datapath/maps/generated.ts";
import { NO_ADDRESS, parseIp } from "../../../datapath/net/ip.ts";
import { NO_MAC, parseMac } from "../../../datapath/net/mac.ts";
import type { IdentifiedEndpoint } from "../identity/endpoint_identities.ts";
import type { PolicyAssignment } from "../policy/installer.ts";
import { type MapRow, mapTable } from "../map_target.ts";
import { slotOf, slotTarget } from "../slot_target.ts";
import type { Target } from "../../core/reconciler.ts";
import type { Table } from "../../core/table.ts";

/** What an unused slot holds. */
const NO_ENDPOINT: EndpointValue = {
  ifindex: 0,
  identity: 0,
  policy: 0,
  revision: 0,
  id: 0,
  flags: 0,
  mac: NO_MAC,
  hostMac: NO_MAC,
  ipv4: NO_ADDRESS,
  ipv6: NO_ADDRESS,
};

/** A table of the map's rows by slot. */
export function endpointMapTable(): Table<MapRow<number, EndpointValue>> {
  return mapTable("endpoint-rows", String);
}

/** The map itself. */
export function endpointMapTarget(
  map: TypedMap<number, EndpointValue>,
): Target<MapRow<number, EndpointValue>> {
  return slotTarget(map, NO_ENDPOINT);
}

/** A table of pilus_namespaces: a namespace's cookie and the ifindex of its endpoint. */
export function namespaceMapTable(): Table<MapRow<bigint, number>> {
  return mapTable("namespaces", String);
}

/** The row of an endpoint; without an assignment it is judged by no policy yet and nothing passes. */
export function endpointMapRow(
  { endpoint, identity }: IdentifiedEndpoint,
  assignment: PolicyAssignment | undefined,
): MapRow<number, EndpointValue> {
  return {
    key: slotOf(endpoint.hostIfindex),
    value: {
      ifindex: endpoint.hostIfindex,
      identity,
      policy: assignment?.policy ?? 0,
      revision: assignment?.revision ?? 0,
      id: endpoint.id,
      flags: 0,
      mac: parseMac(endpoint.podMac),
      hostMac: parseMac(endpoint.hostMac),
      ipv4: endpoint.ipv4 ? parseIp(endpoint.ipv4) : NO_ADDRESS,
      ipv6: endpoint.ipv6 ? parseIp(endpoint.ipv6) : NO_ADDRESS,
    },
  };
}

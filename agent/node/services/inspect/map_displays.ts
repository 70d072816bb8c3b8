/** How `pilus map dump` shows the maps of the load balancer. */

import {
  type Backend,
  BackendFlags,
  type Service,
  ServiceFlags,
  type ServiceKey,
  type SourceRangeKey,
} from "../../../../datapath/maps/generated.ts";
import { formatCidr } from "../../../../datapath/net/ip.ts";
import type { MapDisplay } from "../../part.ts";
import type { ServiceMaps } from "../kernel/service_maps.ts";
import { type BalancerMaps, flagNames, frontendText, kernelTables } from "./kernel_view.ts";

const prefix = (address: Uint8Array, prefixLength: number) =>
  formatCidr({ address: address.slice(), prefixLength });

/** By the map's name. */
export function balancerMapDisplays(
  maps: BalancerMaps,
  maglevSize: number,
  serviceMaps: ServiceMaps,
): Record<string, MapDisplay> {
  return {
    pilus_services: {
      row(key, value) {
        const { id, flags, affinityS, side: [internal, external] } = value as Service;
        return {
          key: frontendText(key as ServiceKey),
          value: { id, flags: flagNames(ServiceFlags, flags), affinityS, internal, external },
        };
      },
    },
    pilus_backends: {
      rowsInUse: () => serviceMaps.usage().backends,
      row(key, value) {
        const row = value as Backend;
        if (row.port === 0) return undefined;
        const { address, port, flags, hits, hop } = row;
        return {
          key,
          value: {
            address,
            port,
            flags: flagNames(BackendFlags, flags),
            hits,
            ...(hop.resolved ? { hop } : {}),
          },
        };
      },
    },
    pilus_source_ranges: {
      row(key, value) {
        const { prefixLength, service, address } = key as SourceRangeKey;
        return { key: `${prefix(address, prefixLength - 32)} of ${service}`, value };
      },
    },
    pilus_maglev: {
      rowsInUse: () => serviceMaps.usage().maglev,
      dump: (limit) =>
        kernelTables(maps, maglevSize).slice(0, limit).map(({ table, ...rest }) => ({
          key: table,
          value: rest,
        })),
    },
  };
}

/** How `pilus map dump` shows the rows of maps whose numbers say little. */

import {
  type Backend,
  BackendFlags,
  type DeniedKey,
  type Service,
  ServiceFlags,
  type ServiceKey,
  type SourceRangeKey,
} from "../../../datapath/maps/generated.ts";
import { formatCidr } from "../../../datapath/net/ip.ts";
import { flagNames, frontendText } from "../services/inspect/kernel_view.ts";

/** Undefined: nobody's row. */
type MapView = (key: unknown, value: unknown) => { key: unknown; value: unknown } | undefined;

const prefix = (address: Uint8Array, prefixLength: number) =>
  formatCidr({ address: address.slice(), prefixLength });

/** By the map's name; bytes in what they give are shown as everywhere. */
export const MAP_VIEWS: Record<string, MapView> = {
  pilus_endpoints: (key, value) =>
    (value as { ifindex: number }).ifindex === 0 ? undefined : { key, value },
  pilus_services(key, value) {
    const { id, flags, affinityS, side: [inside, outside] } = value as Service;
    return {
      key: frontendText(key as ServiceKey),
      value: { id, flags: flagNames(ServiceFlags, flags), affinityS, inside, outside },
    };
  },
  pilus_backends(key, value) {
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
  pilus_source_ranges(key, value) {
    const { prefixLength, service, address } = key as SourceRangeKey;
    return { key: `${prefix(address, prefixLength - 32)} of ${service}`, value };
  },
  pilus_denied(key, value) {
    const { prefixLength, address } = key as DeniedKey;
    return { key: prefix(address, prefixLength), value };
  },
};

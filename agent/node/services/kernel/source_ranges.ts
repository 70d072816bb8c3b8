/** The map pilus_source_ranges: prefixes of the clients that a load balancer's address lets in. */

import type { SourceRangeKey } from "../../../../datapath/maps/generated.ts";
import { formatIp, isIpv4, tryParseCidr, tryParseIp } from "../../../../datapath/net/ip.ts";
import { deriveGroups, groupInput } from "../../../core/derive_groups.ts";
import type { Table } from "../../../core/table.ts";
import { type MapRow, mapTable } from "../../map_target.ts";
import type { Frontend } from "../frontend.ts";
import type { Derived } from "./derived.ts";
import type { ServiceNumbers } from "./service_numbers.ts";

/** Bits of struct source_range_key before the address. */
export const SOURCE_RANGE_HEAD_BITS = 32;

export function deriveSourceRanges(
  frontends: Table<Frontend>,
  numbers: ServiceNumbers,
): Derived<MapRow<SourceRangeKey, number>> {
  const table = mapTable<SourceRangeKey, number>(
    "source-ranges",
    ({ service, prefixLength, address }) => `${service}|${formatIp(address)}|${prefixLength}`,
  );
  const derivation = deriveGroups<MapRow<SourceRangeKey, number>>({
    inputs: [groupInput(frontends, (change) => [change.key])],
    output: table,
    compute(key) {
      const frontend = frontends.get(key);
      const ranges = frontend?.sourceRanges ?? [];
      return {
        rows: ranges.flatMap((text) => {
          const address = tryParseIp(text);
          const cidr = address ? { address, prefixLength: 128 } : tryParseCidr(text);
          if (!cidr || isIpv4(cidr.address) !== isIpv4(frontend!.address)) return [];
          return [{
            key: {
              prefixLength: SOURCE_RANGE_HEAD_BITS + cidr.prefixLength,
              service: numbers.of(frontend!),
              address: cidr.address,
            },
            value: 1,
          }];
        }),
      };
    },
  });
  return { table, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}

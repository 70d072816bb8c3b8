/** The addresses that have some frontend. */

import { formatIp } from "../../../../datapath/net/ip.ts";
import { deriveGroups, groupInput } from "../../../core/derive_groups.ts";
import { type Change, Table } from "../../../core/table.ts";
import type { Frontend } from "../frontend.ts";
import type { Derived } from "./derived.ts";

export interface ServiceAddress {
  /** 16 bytes. */
  address: Uint8Array<ArrayBuffer>;
}

export function deriveServiceAddresses(frontends: Table<Frontend>): Derived<ServiceAddress> {
  /** How many frontends an address has. */
  const uses = new Map<string, ServiceAddress & { count: number }>();
  const table = new Table<ServiceAddress>({
    name: "service-addresses",
    key: ({ address }) => formatIp(address),
  });
  const derivation = deriveGroups<ServiceAddress>({
    inputs: [groupInput(frontends, (change: Change<Frontend>) => {
      if (change.kind === "updated") return [];
      const { address } = change.kind === "deleted" ? change.previous : change.row;
      const text = formatIp(address);
      const use = uses.get(text) ?? { address, count: 0 };
      use.count += change.kind === "added" ? 1 : -1;
      if (use.count > 0) uses.set(text, use);
      else uses.delete(text);
      return [text];
    })],
    output: table,
    compute(text) {
      const use = uses.get(text);
      return { rows: use ? [{ address: use.address }] : [] };
    },
  });
  return { table, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}

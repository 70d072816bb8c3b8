/** The frontends that have a backend at an address of this node: their clients reach its own stack. */

import { equalIp } from "../../../../datapath/net/ip.ts";
import { deriveGroups, groupInput } from "../../../core/derive_groups.ts";
import { Table } from "../../../core/table.ts";
import type { ClusterNode } from "../../../cluster/rows.ts";
import { unpackBackends } from "../backend.ts";
import { type Frontend, frontendKey } from "../frontend.ts";
import type { Derived } from "./derived.ts";

/** The rows are keys of frontends. */
export function deriveHostFrontends(
  frontends: Table<Frontend>,
  nodes: Table<ClusterNode>,
): Derived<string> {
  const table = new Table<string>({ name: "host-frontends", key: (key) => key });
  const own = () => nodes.rows().find(({ local }) => local)?.addresses ?? [];
  const derivation = deriveGroups<string>({
    inputs: [
      groupInput(frontends, (change) => [change.key]),
      groupInput(nodes, () => frontends.rows().map(frontendKey)),
    ],
    output: table,
    compute(key) {
      const addresses = own();
      const list = frontends.get(key)?.backends;
      const answered = list && list.local > 0 &&
        unpackBackends(list).some(({ address, local }) =>
          local && addresses.some((ip) => equalIp(ip, address))
        );
      return { rows: answered ? [key] : [] };
    },
  });
  return { table, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}

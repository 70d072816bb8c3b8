/** The map pilus_dsr_frontends: which frontends packets of direct return to a backend here were for. */

import type { DsrFrontendKey } from "../../../../datapath/maps/generated.ts";
import { formatIp, isIpv4, isLoopback } from "../../../../datapath/net/ip.ts";
import { deriveGroups, groupInput } from "../../../core/derive_groups.ts";
import type { Table } from "../../../core/table.ts";
import { type MapRow, mapTable } from "../../map_target.ts";
import type { ClusterNode } from "../../../cluster/rows.ts";
import { unpackBackends } from "../backend.ts";
import { type Frontend, frontendKey } from "../frontend.ts";
import type { Derived } from "./derived.ts";
import { PROTOCOLS } from "./service_row.ts";

export function deriveDsrFrontends(
  frontends: Table<Frontend>,
  nodes: Table<ClusterNode>,
): Derived<MapRow<DsrFrontendKey, number>> {
  const table = mapTable<DsrFrontendKey, number>(
    "dsr-frontends",
    ({ frontend, backend, port, protocol }) =>
      `${formatIp(frontend)}|${port}|${protocol}|${formatIp(backend)}`,
  );
  const derivation = deriveGroups<MapRow<DsrFrontendKey, number>>({
    inputs: [
      groupInput(frontends, (change) => [change.key]),
      groupInput(
        nodes,
        () => frontends.rows().filter(({ kind }) => kind === "NodePort").map(frontendKey),
      ),
    ],
    output: table,
    compute(key) {
      const frontend = frontends.get(key);
      if (!frontend || frontend.forwarding === "snat" || isLoopback(frontend.address)) {
        return { rows: [] };
      }
      if (frontend.backends.local === 0) return { rows: [] };
      // the port of any node may have led to a backend here
      const addresses = frontend.kind === "NodePort"
        ? nodes.rows().flatMap(({ addresses }) => addresses)
          .filter((ip) => isIpv4(ip) === isIpv4(frontend.address))
        : [frontend.address];
      const local = unpackBackends(frontend.backends).filter(({ local }) => local);
      return {
        rows: local.flatMap(({ address, port }) =>
          addresses.map((ip) => ({
            key: {
              frontend: ip,
              backend: address,
              port: frontend.port,
              protocol: PROTOCOLS[frontend.protocol],
            },
            // the first two bytes in network order
            value: (port & 0xff) << 8 | port >> 8,
          }))
        ),
      };
    },
  });
  return { table, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}

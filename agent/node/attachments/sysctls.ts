/** Sysctls of the node's network that forwarding for pods needs, as the kernel's side of a reconciler. */

import { readSysctl, writeSysctls } from "../../../datapath/net/netns.ts";
import type { Notice } from "../../../datapath/net/notices.ts";
import { attemptEach } from "../../core/attempt_each.ts";
import type { Target } from "../../core/reconciler.ts";
import { Table } from "../../core/table.ts";

/** A sysctl below net/ and its value. */
export interface SysctlRow {
  name: string;
  value: string;
}

/** Routing between pods and the network; the stack's own reverse-path check does not know tunnels. */
export const NODE_SYSCTLS: readonly SysctlRow[] = [
  { name: "ipv4/ip_forward", value: "1" },
  { name: "ipv6/conf/all/forwarding", value: "1" },
  { name: "ipv4/conf/all/rp_filter", value: "0" },
];

/**
 * Before the node begins to forward: devices that take router advertisements as a host go on to take
 * them, or the node would lose its own IPv6 routes when these run out.
 */
export function keepAdvertisements(devices: readonly string[]): void {
  if (readSysctl("ipv6/conf/all/forwarding") !== "0") return;
  const names = devices.map((device) => `ipv6/conf/${device}/accept_ra`);
  writeSysctls(names.filter((name) => readSysctl(name) === "1").map((name) => [name, "2"]));
}

/** Whether a notice is of a value that is not wanted anywhere; the agent's own writes are not. */
export function stopsForwarding(notice: Notice): boolean {
  return notice.kind === "netconf" && (notice.forwarding === 0 || (notice.rpFilter ?? 0) !== 0);
}

/** A table of sysctls by name. */
export function sysctlTable(): Table<SysctlRow> {
  return new Table({ name: "sysctls", key: ({ name }) => name });
}

/** Those of `desired`; one that is not desired any more stays as it is. */
export function sysctlTarget(desired: Table<SysctlRow>): Target<SysctlRow> {
  return {
    *read() {
      for (const name of desired.keys()) {
        const value = readSysctl(name);
        if (value !== undefined) yield { name, value };
      }
    },
    apply: (upserts) => ({
      failed: attemptEach(upserts, ({ name, value }) => writeSysctls([[name, value]])),
    }),
  };
}

/** Routing rules: which table is asked. Constants: include/uapi/linux/fib_rules.h. */

import { type Cidr, ipFromRaw, IPV4_PREFIX_BITS, isIpv4Cidr, maskCidr, rawIp } from "./ip.ts";
import { deleteIfThere, type NetlinkSocket, NLM_F_CREATE, NLM_F_EXCL } from "./netlink.ts";
import {
  AF_INET,
  AF_INET6,
  attributeNumber,
  NetlinkBody,
  parseAttributes,
  structOf,
} from "./netlink_message.ts";
import { isErrno } from "../kernel_error.ts";

const RTM_NEWRULE = 32, RTM_DELRULE = 33, RTM_GETRULE = 34;
const FRA_SRC = 2, FRA_PRIORITY = 6, FRA_FWMARK = 10, FRA_TABLE = 15, FRA_FWMASK = 16;
const FR_ACT_TO_TBL = 1;
const FIB_RULE_HDR_SIZE = 12;

/** A rule that sends matching packets to a table. */
export interface Rule {
  family: "ipv4" | "ipv6";
  /** Lower is asked first. */
  priority: number;
  table: number;
  /** Packet mark in host order, and the bits of it that count. */
  mark?: { value: number; mask: number };
  source?: Cidr;
}

function body({ family, priority, table, mark, source }: Rule): NetlinkBody {
  if (source && isIpv4Cidr(source) !== (family === "ipv4")) {
    throw new TypeError(`The source of an ${family} rule must be of that family`);
  }
  const bits = !source
    ? 0
    : family === "ipv4"
    ? source.prefixLength - IPV4_PREFIX_BITS
    : source.prefixLength;
  const result = new NetlinkBody().struct(FIB_RULE_HDR_SIZE, (view) => {
    view.setUint8(0, family === "ipv4" ? AF_INET : AF_INET6);
    view.setUint8(2, bits);
    view.setUint8(4, table < 256 ? table : 0);
    view.setUint8(7, FR_ACT_TO_TBL);
  }).u32(FRA_PRIORITY, priority).u32(FRA_TABLE, table);
  if (mark) result.u32(FRA_FWMARK, mark.value).u32(FRA_FWMASK, mark.mask);
  if (source && bits > 0) result.attribute(FRA_SRC, rawIp(maskCidr(source).address));
  return result;
}

const target = ({ family, priority, table }: Rule) => `${priority} to table ${table} (${family})`;

/** Adds a rule; an equal one that is there stays. Throws KernelError. */
export function addRule(netlink: NetlinkSocket, rule: Rule): void {
  try {
    netlink.request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, body(rule), {
      operation: "add rule",
      target: target(rule),
    });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

/** Deletes a rule. Returns false when it was not there. */
export function deleteRule(netlink: NetlinkSocket, rule: Rule): boolean {
  return deleteIfThere(() =>
    netlink.request(RTM_DELRULE, 0, body(rule), { operation: "delete rule", target: target(rule) })
  );
}

/** All rules of both families that lead to a table. */
export function listRules(netlink: NetlinkSocket): Rule[] {
  const rules: Rule[] = [];
  for (const family of ["ipv4", "ipv6"] as const) {
    const request = new NetlinkBody().struct(FIB_RULE_HDR_SIZE, (view) => {
      view.setUint8(0, family === "ipv4" ? AF_INET : AF_INET6);
    });
    for (
      const bytes of netlink.dump(RTM_GETRULE, request, { operation: "list", target: "rules" })
    ) {
      const view = structOf(bytes, FIB_RULE_HDR_SIZE);
      if (view.getUint8(7) !== FR_ACT_TO_TBL) continue;
      const attributes = parseAttributes(bytes.subarray(FIB_RULE_HDR_SIZE));
      const mark = attributeNumber(attributes.get(FRA_FWMARK));
      const source = attributes.get(FRA_SRC);
      const bits = view.getUint8(2);
      rules.push({
        family,
        priority: attributeNumber(attributes.get(FRA_PRIORITY)) ?? 0,
        table: attributeNumber(attributes.get(FRA_TABLE)) ?? view.getUint8(4),
        ...(mark === undefined ? {} : {
          mark: {
            value: mark,
            mask: attributeNumber(attributes.get(FRA_FWMASK)) ?? 0xffff_ffff,
          },
        }),
        ...(source
          ? {
            source: {
              address: ipFromRaw(source),
              prefixLength: source.length === 4 ? bits + IPV4_PREFIX_BITS : bits,
            },
          }
          : {}),
      });
    }
  }
  return rules;
}

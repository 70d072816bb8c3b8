/** Kinds of options: how a value is checked, and what becomes of it in the agent's configuration. */

import { type Option, OptionError } from "../core/option.ts";
import { didYouMean } from "../core/nearest.ts";
import {
  type Cidr,
  formatCidr,
  IPV4_PREFIX_BITS,
  isIpv4Cidr,
  maskCidr,
  parseCidr,
  tryParseCidr,
  tryParseIp,
} from "../../datapath/net/ip.ts";

/** Longer prefixes, in bits of 16 bytes, have no address for pods beside the router's. */
const POD_CIDR_LONGEST = 126;
/** Shorter ones lead to everywhere: default routes, and the parts into which VPNs cut them. */
const SHORTEST = 8;

/** Whether the prefix leads to everywhere. */
export function isEverywhere(cidr: Cidr): boolean {
  return cidr.prefixLength - (isIpv4Cidr(cidr) ? IPV4_PREFIX_BITS : 0) < SHORTEST;
}

/** Whether pods may have the prefix: with room for the router's address and theirs, and for no others. */
export function isForPods(cidr: Cidr): boolean {
  return cidr.prefixLength <= POD_CIDR_LONGEST && !isEverywhere(cidr);
}

/** An option with its default and what its value becomes. */
export interface AgentOption<Given, Value> extends Option {
  default?: Given & (string | number | boolean | readonly string[]);
  /** The default where it is found on the node. May throw. */
  find?: () => Given;
  /** Throws OptionError. */
  read(given: Given): Value;
}

/** What is said of an option beside its kind. */
export type About<Given> = Omit<AgentOption<Given, unknown>, "type" | "read">;

/** Any text. */
export function text(about: About<string>): AgentOption<string, string> {
  return { ...about, type: "string", read: (given) => given };
}

/** One of some texts. */
export function choice<const Value extends string>(
  values: readonly Value[],
  about: About<NoInfer<Value>>,
): AgentOption<Value, Value> {
  return { ...about, type: "string", values, read: (given) => given };
}

/** One of some numbers. */
export function numberChoice<const Value extends number>(
  values: readonly Value[],
  about: About<`${NoInfer<Value>}`>,
): AgentOption<`${Value}`, number> {
  return { ...about, type: "string", values: values.map(String), read: Number };
}

export function number(
  range: readonly [number, number],
  about: About<number>,
): AgentOption<number, number> {
  return { ...about, type: "number", range, read: (given) => given };
}

/** A UDP or TCP port. */
export function port(about: About<number>): AgentOption<number, number> {
  const read = (given: number) => {
    if (Number.isInteger(given)) return given;
    throw new OptionError(`takes a whole number, not \`${given}\``);
  };
  return { ...about, type: "number", range: [1, 65535], read };
}

export function toggle(about: About<boolean>): AgentOption<boolean, boolean> {
  return { ...about, type: "boolean", read: (given) => given };
}

export function list(about: About<readonly string[]>): AgentOption<readonly string[], string[]> {
  return { ...about, type: "list", read: (given) => [...new Set(given)] };
}

/** Where HTTP servers are; without a slash at the end. */
export function urls(about: About<readonly string[]>): AgentOption<readonly string[], string[]> {
  const check = (given: string) => {
    const url = URL.parse(given);
    if (url && /^https?:$/.test(url.protocol) && !url.username && !url.search && !url.hash) {
      return url.href.replace(/\/+$/, "");
    }
    throw new OptionError(`takes URLs such as https://192.0.2.1:6443, not \`${given}\``);
  };
  return { ...about, type: "list", read: (given) => given.map(check) };
}

/** Addresses of both families. */
export function addresses(
  about: About<readonly string[]>,
): AgentOption<readonly string[], string[]> {
  const check = (given: string) => {
    if (tryParseIp(given)) return given;
    throw new OptionError(`takes addresses such as 192.0.2.1 or 2001:db8::1, not \`${given}\``);
  };
  return { ...about, type: "list", read: (given) => given.map(check) };
}

/** Prefixes of both families. */
export function cidrs(about: About<readonly string[]>): AgentOption<readonly string[], string[]> {
  const check = (given: string) => {
    try {
      parseCidr(given);
    } catch {
      throw new OptionError(`takes prefixes such as 10.60.0.0/16 or fd60::/16, not \`${given}\``);
    }
    return given;
  };
  return { ...about, type: "list", read: (given) => given.map(check) };
}

/**
 * Where a node's pods get their addresses: at most one prefix a family, with room for some. `none`
 * becomes an empty list.
 */
export function podCidrs(
  about: About<readonly string[]>,
): AgentOption<readonly string[], string[]> {
  const read = (given: readonly string[]) => {
    if (given.length === 1 && given[0] === "none") return [];
    const found = given.map(tryParseCidr).filter((cidr) => cidr !== undefined).map(maskCidr)
      .filter(isForPods);
    const families = new Set(found.map(isIpv4Cidr));
    if (found.length !== given.length || families.size !== found.length) {
      throw new OptionError(
        "takes `none`, or a prefix with room for pods (from /8 to /30 and /126) for each family that " +
          `pods shall have, such as 10.61.0.0/24,fd61::/64, not \`${given.join(",")}\``,
      );
    }
    return found.map(formatCidr);
  };
  return { ...about, placeholder: "CIDR", type: "list", read };
}

/** A directory, or `none`, which becomes an empty text. */
export function directoryOrNone(about: About<string>): AgentOption<string, string> {
  const read = (given: string) => given === "none" ? "" : given;
  return { ...about, placeholder: "DIR", type: "string", read };
}

/** FIRST-LAST, both of them included. */
export function portRange(
  about: About<string>,
): AgentOption<string, readonly [first: number, last: number]> {
  const read = (given: string) => {
    const [first = 0, last = 0] = /^[0-9]+-[0-9]+$/.test(given) ? given.split("-").map(Number) : [];
    if (first < 1 || last < first || last > 65535) {
      throw new OptionError(`takes FIRST-LAST, such as 30000-32767, not \`${given}\``);
    }
    return [first, last] as const;
  };
  return { ...about, placeholder: "FIRST-LAST", type: "string", read };
}

/** Where something listens. */
export interface HostPort {
  hostname: string;
  port: number;
}

/** HOST:PORT, the host in brackets when it is IPv6, the loopback when it is missing. Empty: undefined. */
export function hostPort(about: About<string>): AgentOption<string, HostPort | undefined> {
  const read = (given: string) => {
    if (given === "") return undefined;
    const match = /^(?:\[([^\]]+)\]|([^:]*)):([0-9]{1,5})$/.exec(given);
    const port = Number(match?.[3]);
    if (!match || port > 65535) {
      throw new OptionError(`takes HOST:PORT, such as 127.0.0.1:9962, not \`${given}\``);
    }
    return { hostname: match[1] ?? (match[2] || "127.0.0.1"), port };
  };
  return { ...about, placeholder: "HOST:PORT", type: "string", read };
}

/** The most that the kernel takes as max_entries. */
const MAX_ROWS = 2 ** 32 - 1;

/** NAME=ROWS for each of some maps. */
export function mapSizes<Name extends string>(
  names: readonly Name[],
  about: About<readonly string[]>,
): AgentOption<readonly string[], Partial<Record<Name, number>>> {
  const isName = (name: string): name is Name => (names as readonly string[]).includes(name);
  const read = (given: readonly string[]) => {
    const sizes: Partial<Record<Name, number>> = {};
    for (const item of given) {
      const [name = "", rows = ""] = item.split("=");
      if (!isName(name)) {
        const near = didYouMean(name, names);
        throw new OptionError(
          `takes NAME=ROWS, not \`${item}\`; the names are ${names.join(", ")}${near}`,
        );
      }
      if (!/^[1-9][0-9]*$/.test(rows) || Number(rows) > MAX_ROWS) {
        throw new OptionError(`takes NAME=ROWS, from 1 to ${MAX_ROWS} rows, not \`${item}\``);
      }
      sizes[name] = Number(rows);
    }
    return sizes;
  };
  return { ...about, placeholder: "NAME=ROWS", type: "list", read };
}

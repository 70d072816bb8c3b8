/** Addresses and prefixes. */

import {
  cidrContains,
  formatIp,
  isIpv4,
  isIpv4Cidr,
  parseCidr,
  parseIp,
} from "../../../datapath/net/ip.ts";
import { FilterError } from "./filter_error.ts";

/** Whether an address is one of those or within one of those prefixes. Throws FilterError. */
export function addressTest(texts: readonly string[]): (ip: string) => boolean {
  const addresses = new Set<string>(), prefixes: ReturnType<typeof parseCidr>[] = [];
  for (const text of texts) {
    try {
      if (text.includes("/")) prefixes.push(parseCidr(text));
      else addresses.add(formatIp(parseIp(text)));
    } catch (error) {
      throw new FilterError(`"${text}" is no address and no prefix`, { cause: error });
    }
  }
  return (ip) => {
    if (addresses.has(ip)) return true;
    if (prefixes.length === 0) return false;
    const bytes = parseIp(ip);
    return prefixes.some((prefix) =>
      isIpv4Cidr(prefix) === isIpv4(bytes) && cidrContains(prefix, bytes)
    );
  };
}

/** Whether rows of the connection tables are asked for. */

import { equalIp, parseIp } from "../../../datapath/net/ip.ts";
import type { ConnectionFilter } from "../../api/connection_query.ts";

/** An address with a port. */
export interface ConnectionEnd {
  ip: Uint8Array;
  port: number;
}

/** The filter as a function on a protocol and the ends of a row. */
export function connectionFilter(
  { protocols, ips, ports }: ConnectionFilter,
): (protocol: number, ends: readonly ConnectionEnd[]) => boolean {
  const addresses = ips?.map(parseIp);
  return (protocol, ends) =>
    (protocols?.includes(protocol) ?? true) &&
    (ports === undefined || ends.some(({ port }) => ports.includes(port))) &&
    (addresses === undefined || ends.some(({ ip }) => addresses.some((a) => equalIp(a, ip))));
}

/** `pilus service trace` */

import type { EndpointView } from "../agent/api/types.ts";
import type { ServiceTraceView } from "../agent/api/views.ts";
import { formatIp, formatSocketAddress, tryParseIp } from "../datapath/net/ip.ts";
import { ask } from "./ask.ts";
import { EXIT, type Invocation, type OptionValues, UsageError } from "./command.ts";
import { formatFields, printData } from "./output.ts";

/** Exit code 1 when the flow gets no backend. */
export async function traceService({ args: [wanted], options }: Invocation): Promise<number> {
  const [end = "", protocol = "tcp"] = wanted!.split("/");
  const { ip, port } = parseEnd(end, "VIP:PORT");
  if (port === undefined || !["tcp", "udp"].includes(protocol.toLowerCase())) {
    throw new UsageError(`\`service trace\` takes VIP:PORT or VIP:PORT/udp, not \`${wanted}\``);
  }
  const query = new URLSearchParams({
    address: ip,
    port: String(port),
    protocol: protocol.toLowerCase(),
  });
  if (options.from !== undefined) {
    const from = await clientOf(options, String(options.from), ip);
    query.set("from", from.ip);
    if (from.port !== undefined) query.set("fromPort", String(from.port));
  }
  const trace = await ask<ServiceTraceView>(options, `/v1/lb/trace?${query}`);
  await printData(options, trace, traceText);
  return ["backend", "one of several"].includes(trace.verdict) ? EXIT.ok : EXIT.failed;
}

/** An end as it is written, or the address of this node's pod NAMESPACE/POD in the family of `to`. */
async function clientOf(options: OptionValues, text: string, to: string) {
  if (!text.includes("/")) return parseEnd(text, "--from");
  const path = `/v1/endpoints/${encodeURIComponent(text)}`;
  const { ipv4, ipv6 } = await ask<EndpointView>(options, path);
  const ip = to.includes(":") ? ipv6 : ipv4;
  if (!ip) throw new UsageError(`${text} has no address of the family of ${to}`);
  return { ip, port: undefined };
}

/**
 * ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT. Throws UsageError that names `what` when it is none.
 */
export function parseEnd(text: string, what: string): { ip: string; port?: number } {
  const bare = tryParseIp(text);
  if (bare) return { ip: formatIp(bare) };
  const match = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  const address = match && tryParseIp(match[1] ?? match[2]!);
  const port = Number(match?.[3]);
  if (!address || port > 65535) {
    throw new UsageError(
      `${what} takes an address and port, as 10.96.0.1:80 or [fd00::1]:80, not \`${text}\``,
    );
  }
  return { ip: formatIp(address), port };
}

/** The page that people see. */
function traceText(t: ServiceTraceView): string {
  const names = t.backends.map(({ address, port }) => formatSocketAddress(address, port)).join(
    ", ",
  );
  const verdict = {
    "backend": names,
    "one of several": `one of ${names}`,
    "refused": "refused: RST, or ICMP port unreachable",
    "dropped": "dropped",
    "no service": "no service: the packet goes on as it is",
  }[t.verdict];
  return formatFields([
    ["From", t.client],
    ["To", t.frontend],
    ...t.steps.map((step, i): [string, string] => [`${i + 1}`, step]),
    ["Result", verdict],
    ["Then", t.then],
  ]);
}

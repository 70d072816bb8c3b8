/** Filters of listings: the same options with the same meaning everywhere. */

import { formatIp, tryParseIp } from "../datapath/net/ip.ts";
import { type OptionValues, UsageError } from "./command.ts";

/**
 * The address of an option in the form that the agent uses, so that fd00:0::1 finds fd00::1;
 * undefined when the option is not given. Throws UsageError when it is no address.
 */
export function ipOption(options: OptionValues, name: string): string | undefined {
  const text = options[name];
  if (text === undefined) return undefined;
  const ip = tryParseIp(String(text));
  if (!ip) throw new UsageError(`--${name} takes an IP address, not \`${text}\``);
  return formatIp(ip);
}

/** The pod of an option. Throws UsageError when it is not `namespace/pod`. */
export function podOption(options: OptionValues, name: string): string | undefined {
  const text = options[name];
  if (text === undefined) return undefined;
  if (!/^[^/]+\/[^/]+$/.test(String(text))) {
    throw new UsageError(`--${name} takes NAMESPACE/POD, not \`${text}\``);
  }
  return String(text);
}

/** Whether a protocol's name is the one of `--protocol`; every one is when that is not given. */
export function protocolOption({ protocol }: OptionValues): (name: string) => boolean {
  const wanted = protocol === undefined ? undefined : String(protocol).toLowerCase();
  return (name) => wanted === undefined || name.toLowerCase() === wanted;
}

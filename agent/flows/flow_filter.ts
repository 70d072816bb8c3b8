/** Which flows are asked for. */

import { hasPorts } from "../core/protocols.ts";
import type { Flow, PacketEnd, PacketFlow } from "./flow.ts";

/** In place of a protocol's number: packets that are not IP. */
export const NOT_IP = -1;

/** What an end must have: of each list that is there one value. */
export interface EndFilter {
  /** `namespace/pod`. */
  pods?: readonly string[];
  /** Texts in the form of `formatIp`. */
  ips?: readonly string[];
  ports?: readonly number[];
  identities?: readonly number[];
}

/**
 * A flow passes when every field that is there fits, and a field fits by any of its values. A flow
 * that is not a packet passes when nothing but its type is asked for.
 */
export interface FlowFilter {
  types?: readonly number[];
  verdicts?: readonly number[];
  /** IANA numbers or {@linkcode NOT_IP}. */
  protocols?: readonly number[];
  /** Each field must fit one of the ends, not all fields the same one. */
  either?: EndFilter;
  from?: EndFilter;
  to?: EndFilter;
}

/** The pod (`namespace/pod`) that has an address. */
export type PodOf = (ip: string) => string | undefined;

/** The filter as a function on flows. */
export function flowFilter(filter: FlowFilter, podOf: PodOf): (flow: Flow) => boolean {
  const { types, verdicts, protocols, either = {}, from = {}, to = {} } = filter;
  const packet = (flow: PacketFlow) =>
    isIn(verdicts, flow.verdict) &&
    isIn(protocols, flow.family === 0 ? NOT_IP : flow.protocol) &&
    END_TESTS.every((test) =>
      (test(either, flow.source, flow.protocol, podOf) ||
        test(either, flow.destination, flow.protocol, podOf)) &&
      test(from, flow.source, flow.protocol, podOf) &&
      test(to, flow.destination, flow.protocol, podOf)
    );
  const others = !verdicts && !protocols &&
    [either, from, to].every((end) => Object.values(end).every((values) => values === undefined));
  return (flow) => isIn(types, flow.type) && (flow.kind === "packet" ? packet(flow) : others);
}

function isIn<T>(values: readonly T[] | undefined, value: T): boolean {
  return values === undefined || values.includes(value);
}

type EndTest = (wanted: EndFilter, end: PacketEnd, protocol: number, podOf: PodOf) => boolean;

/** One for each field of an end. */
const END_TESTS: readonly EndTest[] = [
  ({ ips }, { ip }) => isIn(ips, ip),
  ({ ports }, { port }, protocol) => ports === undefined || hasPorts(protocol) && isIn(ports, port),
  ({ identities }, { identity }) => isIn(identities, identity),
  ({ pods }, { ip }, _, podOf) => pods === undefined || isIn<string | undefined>(pods, podOf(ip)),
];

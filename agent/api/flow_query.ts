/** Which flows a request asks for. */

import { PACKET_TYPES } from "../flows/flow.ts";
import { type EndFilter, type FlowFilter, NOT_IP } from "../flows/flow_filter.ts";
import { TYPE_NAMES, VERDICT_NAMES } from "../flows/names.ts";
import {
  Expected,
  field,
  integer,
  oneOf,
  Parameters,
  parseAddress,
  parseBoolean,
  parseLimit,
  parseProtocol,
} from "./parameters.ts";

/** What a request for flows asks for. */
export interface FlowQuery {
  filter: FlowFilter;
  /** End after so many flows. */
  limit?: number;
  /** Begin with so many flows that are there already, at most. */
  last?: number;
  /** Begin with the flows since then: milliseconds since 1970. */
  since?: number;
  /** Whether to go on with flows that come later; by default who looks back does not. */
  follow: boolean;
}

/** Units of durations, in ms. */
const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * The flows that `query` asks for; lists have commas. Without `type` they are packets. Throws
 * ApiError 400.
 *
 * @param now milliseconds since 1970
 */
export function parseFlowQuery(query: URLSearchParams, now: number = Date.now()): FlowQuery {
  const parameters = new Parameters(query);
  const filter: FlowFilter = {
    types: parameters.list("type", oneOf(TYPE_NAMES)) ?? PACKET_TYPES,
    ...field("verdicts", parameters.list("verdict", oneOf(VERDICT_NAMES))),
    ...field("protocols", parameters.list("protocol", parsePacketProtocol)),
    ...field("either", endFilter(parameters, "")),
    ...field("from", endFilter(parameters, "from-")),
    ...field("to", endFilter(parameters, "to-")),
  };
  const limit = parameters.one("limit", parseLimit);
  const last = parameters.one("last", integer(1, Number.MAX_SAFE_INTEGER));
  const since = parameters.one("since", (text) => parseSince(text, now));
  const looksBack = last !== undefined || since !== undefined;
  const follow = parameters.one("follow", parseBoolean) ?? !looksBack;
  parameters.end();
  // what ends at once and looks back at nothing would always be empty
  const all = follow || looksBack ? undefined : 0;
  return {
    filter,
    ...field("limit", limit),
    ...field("last", last),
    ...field("since", since ?? all),
    follow,
  };
}

function endFilter(parameters: Parameters, prefix: string): EndFilter | undefined {
  const end: EndFilter = {
    ...field("pods", parameters.list(`${prefix}pod`, parsePod)),
    ...field("ips", parameters.list(`${prefix}ip`, parseAddress)),
    ...field("ports", parameters.list(`${prefix}port`, integer(0, 65535))),
    ...field("identities", parameters.list(`${prefix}identity`, integer(0, 2 ** 32 - 1))),
  };
  return Object.keys(end).length === 0 ? undefined : end;
}

function parsePacketProtocol(text: string): number | Expected {
  return text.toLowerCase() === "non-ip" ? NOT_IP : parseProtocol(text);
}

function parsePod(text: string): string | Expected {
  return /^[^/]+\/[^/]+$/.test(text) ? text : new Expected("NAMESPACE/POD");
}

/** A time of RFC 3339, or how long ago: 90s, 5m, 1.5h. */
function parseSince(text: string, now: number): number | Expected {
  const ago = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)$/.exec(text);
  if (ago) return now - Number(ago[1]) * UNITS_MS[ago[2]!]!;
  const time = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})$/.test(text)
    ? Date.parse(text)
    : NaN;
  return Number.isNaN(time)
    ? new Expected("how long ago (90s, 5m, 2h) or a time (2026-01-31T12:00:00Z)")
    : time;
}

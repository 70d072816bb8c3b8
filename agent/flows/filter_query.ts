/** What users ask for in words: parameters of a query, the same as options of the command line. */

import { formatIp, tryParseIp } from "../../datapath/net/ip.ts";
import { protocolNumber } from "../core/protocols.ts";
import { PACKET_TYPES } from "./flow.ts";
import { type EndFilter, type FlowFilter, NOT_IP } from "./flow_filter.ts";
import { TYPE_NAMES, VERDICT_NAMES } from "./names.ts";

/** A parameter that cannot be understood. The message begins with the parameter's name. */
export class FilterError extends Error {
  override readonly name = "FilterError";
}

/** What a request for flows asks for. */
export interface FlowQuery {
  filter: FlowFilter;
  /** End after so many flows. */
  limit?: number;
  /** Begin with so many flows that are there already, at most. */
  last?: number;
  /** Begin with the flows since then: milliseconds since 1970. */
  since?: number;
  /** Whether to go on with flows that come later. */
  follow: boolean;
}

/** What a request for rows of a connection table asks for. */
export interface ConnectionQuery {
  filter: ConnectionFilter;
  /** Rows at most. */
  limit: number;
}

/** A row passes when every field fits, each by any of its values and by either end. */
export interface ConnectionFilter {
  protocols?: readonly number[];
  /** Texts in the form of `formatIp`. */
  ips?: readonly string[];
  ports?: readonly number[];
}

/** Rows that are given when no limit is. */
const DEFAULT_LIMIT = 10_000;

/** Units of durations, in ms. */
const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * The flows that `query` asks for; lists have commas. Without `type` they are packets. Throws
 * FilterError.
 *
 * @param now milliseconds since 1970
 */
export function parseFlowQuery(query: URLSearchParams, now: number = Date.now()): FlowQuery {
  const parameters = new Parameters(query);
  const result: FlowQuery = {
    filter: {
      types: parameters.list("type", oneOf(TYPE_NAMES)) ?? PACKET_TYPES,
      ...field("verdicts", parameters.list("verdict", oneOf(VERDICT_NAMES))),
      ...field("protocols", parameters.list("protocol", parsePacketProtocol)),
      ...field("either", endFilter(parameters, "")),
      ...field("from", endFilter(parameters, "from-")),
      ...field("to", endFilter(parameters, "to-")),
    },
    ...field("limit", parameters.one("limit", parseLimit)),
    ...field("last", parameters.one("last", integer(1, Number.MAX_SAFE_INTEGER))),
    ...field("since", parameters.one("since", (text) => parseSince(text, now))),
    follow: parameters.one("follow", parseBoolean) ?? true,
  };
  parameters.end();
  // what ends at once and looks back at nothing would always be empty
  if (!result.follow && result.last === undefined && result.since === undefined) result.since = 0;
  return result;
}

/** The connections that `query` asks for; lists have commas. Throws FilterError. */
export function parseConnectionQuery(query: URLSearchParams): ConnectionQuery {
  const parameters = new Parameters(query);
  const result = {
    filter: {
      ...field("protocols", parameters.list("protocol", parseProtocol)),
      ...field("ips", parameters.list("ip", parseAddress)),
      ...field("ports", parameters.list("port", integer(0, 65535))),
    },
    limit: parameters.one("limit", parseLimit) ?? DEFAULT_LIMIT,
  };
  parameters.end();
  return result;
}

/** Reads a value, or returns what is expected of it. */
type Parser<T> = (text: string) => T | Expected;

/** What a parameter takes. */
class Expected {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Parameters by name, each of which must be asked for before `end`. */
class Parameters {
  readonly #query: URLSearchParams;
  readonly #known = new Set<string>();

  constructor(query: URLSearchParams) {
    this.#query = query;
  }

  one<T>(name: string, parse: Parser<T>): T | undefined {
    this.#known.add(name);
    const texts = this.#query.getAll(name);
    if (texts.length > 1) throw new FilterError(`${name} is given more than once`);
    return texts.length === 0 ? undefined : parseValue(name, texts[0]!, parse);
  }

  list<T>(name: string, parse: Parser<T>): T[] | undefined {
    this.#known.add(name);
    const texts = this.#query.getAll(name).flatMap((text) => text.split(","));
    return texts.length === 0 ? undefined : texts.map((text) => parseValue(name, text, parse));
  }

  end(): void {
    for (const name of this.#query.keys()) {
      if (this.#known.has(name)) continue;
      throw new FilterError(`${name} is no filter: there are ${[...this.#known].join(", ")}`);
    }
  }
}

function parseValue<T>(name: string, text: string, parse: Parser<T>): T {
  const value = parse(text);
  if (value instanceof Expected) {
    throw new FilterError(`${name} takes ${value.text}, not \`${text}\``);
  }
  return value;
}

/** An object with the field when there is a value. */
function field<K extends string, T>(name: K, value: T | undefined): { [name in K]?: T } {
  return value === undefined ? {} : { [name]: value } as { [name in K]: T };
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

function oneOf(names: ReadonlyMap<number, string>): Parser<number> {
  return (text) => {
    for (const [number, name] of names) if (name === text) return number;
    return new Expected([...names.values()].join(", "));
  };
}

function integer(least: number, most: number): Parser<number> {
  const range = most === Number.MAX_SAFE_INTEGER
    ? `a whole number from ${least} on`
    : `a whole number from ${least} to ${most}`;
  return (text) => {
    const number = /^[0-9]+$/.test(text) ? Number(text) : NaN;
    return number >= least && number <= most ? number : new Expected(range);
  };
}

function parseLimit(text: string): number | Expected {
  return text === "Infinity" ? Infinity : integer(1, Number.MAX_SAFE_INTEGER)(text);
}

function parseProtocol(text: string): number | Expected {
  return protocolNumber(text) ??
    new Expected("TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 0 to 255");
}

function parsePacketProtocol(text: string): number | Expected {
  return text.toLowerCase() === "non-ip" ? NOT_IP : parseProtocol(text);
}

function parseAddress(text: string): string | Expected {
  const ip = tryParseIp(text);
  return ip ? formatIp(ip) : new Expected("an IP address");
}

function parsePod(text: string): string | Expected {
  return /^[^/]+\/[^/]+$/.test(text) ? text : new Expected("NAMESPACE/POD");
}

function parseBoolean(text: string): boolean | Expected {
  return text === "true" ? true : text === "false" ? false : new Expected("true or false");
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

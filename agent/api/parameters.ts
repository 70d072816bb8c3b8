/** Parameters of requests, checked: in words as users give them, the same as options of the command line. */

import { formatIp, tryParseIp } from "../../datapath/net/ip.ts";
import { protocolNumber } from "../core/protocols.ts";
import { ApiError } from "./server.ts";

/** Rows that one answer has at most, unless asked for more. */
export const DEFAULT_LIMIT = 10_000;

/** The rows that `limit` asks for. Throws ApiError 400. */
export function limitOf(query: URLSearchParams): number {
  return new Parameters(query).one("limit", parseLimit) ?? DEFAULT_LIMIT;
}

/** The message begins with the parameter's name. */
function invalid(message: string): ApiError {
  return new ApiError(400, { code: "invalid", message });
}

/** Reads a value, or returns what is expected of it. */
export type Parser<T> = (text: string) => T | Expected;

/** What a parameter takes. */
export class Expected {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Parameters by name, each of which must be asked for before `end`. What is wrong throws ApiError 400. */
export class Parameters {
  readonly #query: URLSearchParams;
  readonly #known = new Set<string>();

  constructor(query: URLSearchParams) {
    this.#query = query;
  }

  one<T>(name: string, parse: Parser<T>): T | undefined {
    this.#known.add(name);
    const texts = this.#query.getAll(name);
    if (texts.length > 1) throw invalid(`${name} is given more than once`);
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
      throw invalid(`${name} is no filter: there are ${[...this.#known].join(", ")}`);
    }
  }
}

function parseValue<T>(name: string, text: string, parse: Parser<T>): T {
  const value = parse(text);
  if (value instanceof Expected) {
    throw invalid(`${name} takes ${value.text}, not \`${text}\``);
  }
  return value;
}

/** An object with the field when there is a value. */
export function field<K extends string, T>(name: K, value: T | undefined): { [name in K]?: T } {
  return value === undefined ? {} : { [name]: value } as { [name in K]: T };
}

/** One of the names; gives its number. */
export function oneOf(names: ReadonlyMap<number, string>): Parser<number> {
  return (text) => {
    for (const [number, name] of names) if (name === text) return number;
    return new Expected([...names.values()].join(", "));
  };
}

/** A whole number of that range; the largest safe one stands for no end. */
export function integer(least: number, most: number): Parser<number> {
  const range = most === Number.MAX_SAFE_INTEGER
    ? `a whole number from ${least} on`
    : `a whole number from ${least} to ${most}`;
  return (text) => {
    const number = /^[0-9]+$/.test(text) ? Number(text) : NaN;
    return number >= least && number <= most ? number : new Expected(range);
  };
}

/** A number of rows; `Infinity`: all. */
export function parseLimit(text: string): number | Expected {
  return text === "Infinity" ? Infinity : integer(1, Number.MAX_SAFE_INTEGER)(text);
}

export function parseProtocol(text: string): number | Expected {
  return protocolNumber(text) ??
    new Expected("TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 0 to 255");
}

/** Gives the text of `formatIp`. */
export function parseAddress(text: string): string | Expected {
  const ip = tryParseIp(text);
  return ip ? formatIp(ip) : new Expected("an IP address");
}

export function parseBoolean(text: string): boolean | Expected {
  return text === "true" ? true : text === "false" ? false : new Expected("true or false");
}

/** Options of `pilus observe` as a request to Hubble's API. */

import type {
  FlowFilterMessage,
  GetFlowsRequest,
  TcpFlagsMessage,
  TimeMessage,
} from "../../agent/hubble/flow_message.ts";
import { messageType } from "../../agent/hubble/messages.ts";
import { RESERVED_IDENTITIES, TRACE_POINTS } from "../../agent/hubble/words.ts";
import { didYouMean } from "../../agent/core/nearest.ts";
import { type OptionValues, UsageError } from "../command.ts";

/** Flows that are shown without another number. */
const LAST = 20;

/** Options of one end: after `from-`, `to-` or alone for either; and the field after its end. */
const END_FIELDS: readonly (readonly [name: string, field: string, value?: Convert])[] = [
  ["pod", "pod"],
  ["namespace", "pod", (name) => `${name}/`],
  ["ip", "ip"],
  ["port", "port"],
  ["identity", "identity", identity],
  ["label", "label"],
  ["service", "service"],
  ["fqdn", "fqdn"],
  ["workload", "workload", workload],
  ["cluster", "cluster_name"],
];

type Convert = (text: string, option: string) => unknown;

/** Options about the flow as a whole, and their fields. */
const FIELDS:
  readonly (readonly [name: string, field: keyof FlowFilterMessage, value?: Convert])[] = [
    ["verdict", "verdict", enumeration("flow.Verdict")],
    ["drop-reason-desc", "drop_reason_desc", enumeration("flow.DropReason")],
    ["traffic-direction", "traffic_direction", enumeration("flow.TrafficDirection")],
    ["type", "event_type", eventType],
    ["protocol", "protocol"],
    ["ip-version", "ip_version", ipVersion],
    ["tcp-flags", "tcp_flags", tcpFlags],
    ["interface", "interface", (name) => ({ name })],
    ["node-name", "node_name"],
    ["node-label", "node_labels"],
    ["uuid", "uuid"],
    ["trace-id", "trace_id"],
    ["snat-ip", "source_ip_xlated"],
    ["http-status", "http_status_code"],
    ["http-method", "http_method"],
    ["http-path", "http_path"],
    ["http-url", "http_url"],
    ["http-header", "http_header", header],
  ];

/** The names of all options that are filters. */
export const FILTER_OPTIONS: readonly string[] = [
  ...END_FIELDS.flatMap(([name]) => [name, `from-${name}`, `to-${name}`]),
  ...FIELDS.map(([name]) => name),
];

/** The request. Throws UsageError. `now`: milliseconds since 1970. */
export function observeRequest(options: OptionValues, now: number = Date.now()): GetFlowsRequest {
  const { all, first, last, follow } = options;
  const chosen = ["all", "first", "last"].filter((name) => options[name]);
  if (chosen.length > 1) throw new UsageError(`--${chosen.join(" and --")} exclude each other`);
  if (first && follow) throw new UsageError("--first and --follow exclude each other");
  const since = time(options.since, "since", now), until = time(options.until, "until", now);
  const number = first ?? last ?? (all || follow || since || until ? undefined : LAST);
  const whitelist = [...filters(options), ...raw(options.allowlist, "allowlist")];
  const blacklist = raw(options.denylist, "denylist");
  return {
    ...(number === undefined ? {} : { number: Number(number) }),
    ...(first ? { first: true } : {}),
    ...(follow ? { follow: true } : {}),
    ...(since ? { since } : {}),
    ...(until ? { until } : {}),
    ...(whitelist.length > 0 ? { whitelist } : {}),
    ...(blacklist.length > 0 ? { blacklist } : {}),
  };
}

/** One filter, or for options of either end two: one for each end. */
function filters(options: OptionValues): FlowFilterMessage[] {
  const both: Record<string, unknown[]> = {};
  const sides = {
    source: {} as Record<string, unknown[]>,
    destination: {} as Record<string, unknown[]>,
  };
  let either = false;
  const add = (to: Record<string, unknown[]>, field: string, name: string, convert?: Convert) => {
    for (const text of options[name] as readonly string[] | undefined ?? []) {
      (to[field] ??= []).push(convert ? convert(text, name) : text);
    }
  };
  for (const [name, field, convert] of FIELDS) add(both, field, name, convert);
  for (const [name, field, convert] of END_FIELDS) {
    add(both, `source_${field}`, `from-${name}`, convert);
    add(both, `destination_${field}`, `to-${name}`, convert);
  }
  for (const [name, field, convert] of END_FIELDS) {
    if (!(options[name] as readonly string[] | undefined)?.length) continue;
    either = true;
    for (const side of ["source", "destination"] as const) {
      if (both[`${side}_${field}`]) {
        throw new UsageError(`--${name} and its --from- or --to- exclude each other`);
      }
      add(sides[side], `${side}_${field}`, name, convert);
    }
  }
  const list = either
    ? [{ ...both, ...sides.source }, { ...both, ...sides.destination }]
    : Object.keys(both).length > 0
    ? [both]
    : [];
  return list as FlowFilterMessage[];
}

/** The filter that is given as JSON, or filters as an array. Throws UsageError. */
function raw(text: OptionValues[string], option: string): FlowFilterMessage[] {
  if (text === undefined) return [];
  const type = messageType("flow.FlowFilter");
  try {
    const json: unknown = JSON.parse(String(text));
    return (Array.isArray(json) ? json : [json]).map((filter: object) => {
      for (const name of Object.keys(filter)) {
        if (type.fields[name]) continue;
        const near = didYouMean(name, Object.keys(type.fields));
        throw new TypeError(`a filter has no field ${name}${near}`);
      }
      return type.toObject(type.fromObject(filter), { longs: Number }) as FlowFilterMessage;
    });
  } catch (cause) {
    const message = `--${option} takes a filter in JSON: ${(cause as Error).message}`;
    throw new UsageError(message, { cause });
  }
}

function enumeration(name: string): Convert {
  return (text, option) => {
    const { values } = messageType("flow.Flow").root.lookupEnum(name);
    const value = values[text.toUpperCase().replaceAll("-", "_")];
    if (value !== undefined) return value;
    const names = Object.keys(values);
    const near = didYouMean(text.toUpperCase(), names);
    throw new UsageError(
      `--${option} takes ${names.length > 12 ? "a name" : names.slice(1).join(", ")}, ` +
        `not \`${text}\`${near}`,
    );
  };
}

const TYPES: Readonly<Record<string, number>> = {
  drop: 1,
  capture: 3,
  trace: 4,
  "policy-verdict": 5,
  "trace-sock": 7,
  l7: 129,
};

function eventType(text: string): unknown {
  const [name = "", point] = text.split(":");
  const type = Object.hasOwn(TYPES, name) ? TYPES[name] : undefined;
  if (type === undefined) {
    const names = Object.keys(TYPES);
    throw new UsageError(
      `--type takes ${names.join(", ")}, not \`${name}\`${didYouMean(name, names)}`,
    );
  }
  if (point === undefined) return { type };
  const sub_type = name === "trace" ? TRACE_POINTS.indexOf(point) : -1;
  if (sub_type < 0) {
    throw new UsageError(`--type ${name} has no \`${point}\`${didYouMean(point, TRACE_POINTS)}`);
  }
  return { type, match_sub_type: true, sub_type };
}

function ipVersion(text: string): number {
  const version = ["none", "v4", "v6"].indexOf(text);
  if (version < 0) throw new UsageError(`--ip-version takes none, v4 or v6, not \`${text}\``);
  return version;
}

function header(text: string, option: string): unknown {
  const colon = text.indexOf(":");
  if (colon < 1) throw new UsageError(`--${option} takes KEY:VALUE, not \`${text}\``);
  return { key: text.slice(0, colon), value: text.slice(colon + 1).trim() };
}

const FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS"];

/** Flags that a packet must have together: `syn+ack`. */
function tcpFlags(text: string): TcpFlagsMessage {
  return Object.fromEntries(
    text.toUpperCase().split("+").map((flag) => {
      if (!FLAGS.includes(flag)) {
        throw new UsageError(`--tcp-flags takes ${FLAGS.join(", ")}, not \`${flag}\``);
      }
      return [flag, true];
    }),
  );
}

function identity(text: string, option: string): number {
  const named = RESERVED_IDENTITIES.indexOf(text.replace(/^reserved:/, ""));
  if (named >= 0) return named;
  if (/^\d{1,10}$/.test(text) && Number(text) < 2 ** 32) return Number(text);
  throw new UsageError(`--${option} takes a number or a reserved name, not \`${text}\``);
}

function workload(text: string): unknown {
  const slash = text.indexOf("/");
  return slash < 0 ? { name: text } : {
    kind: text.slice(0, slash),
    ...(text.length > slash + 1 ? { name: text.slice(slash + 1) } : {}),
  };
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** A time, or how long ago. */
function time(text: OptionValues[string], option: string, now: number): TimeMessage | undefined {
  if (text === undefined) return undefined;
  const ago = [...String(text).matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  const relative = ago.map(([part]) => part).join("") === text;
  const ms = relative
    ? now - ago.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit!]!, 0)
    : Date.parse(String(text));
  if (Number.isNaN(ms)) {
    throw new UsageError(
      `--${option} takes how long ago, as 90s or 1h30m, or a time as 2026-01-31T12:00:00Z, ` +
        `not \`${text}\``,
    );
  }
  // what a Date cannot have
  const nanos = /\.(\d{1,9})(?:Z|[+-]\d\d:?\d\d)$/i.exec(relative ? "" : String(text))?.[1];
  const seconds = Math.floor(ms / 1000);
  return {
    seconds,
    nanos: nanos === undefined ? (ms - seconds * 1000) * 1e6 | 0 : Number(nanos.padEnd(9, "0")),
  };
}

/** Flows as lines for people, in the formats of the hubble CLI. */

import { printable } from "../core/printable.ts";
import { moreAbout, reasonText } from "../flows/names.ts";
import { DROP_REASON_TEXTS } from "./drop_reason_texts.ts";
import { timeText } from "./flow_json.ts";
import {
  type EndpointMessage,
  EventType,
  type FlowMessage,
  HubbleVerdict,
  type PolicyMessage,
  type ServiceMessage,
  type TimeMessage,
} from "./flow_message.ts";
import { RESERVED_IDENTITIES, TRACE_POINTS } from "./words.ts";

/** How flows are shown. */
export interface FlowTextOptions {
  /** Addresses in place of names. */
  numeric: boolean;
  nodeName: boolean;
  policyNames: boolean;
  /** The deciding rule, and the command that shows more, below each flow that has them. */
  why: boolean;
  /** Times in full. */
  fullTime: boolean;
}

const VERDICTS = [
  ...["VERDICT_UNKNOWN", "FORWARDED", "DROPPED", "ERROR", "AUDIT"],
  ...["REDIRECTED", "TRACED", "TRANSLATED"],
];

const DIRECTIONS = ["TRAFFIC_DIRECTION_UNKNOWN", "INGRESS", "EGRESS"];

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** `Nov 28 16:04:05.123`, in UTC; or RFC 3339 in full. */
export function clockText(time: TimeMessage | undefined, full = false): string {
  if (!time) return "N/A";
  if (full) return timeText(time);
  const { seconds, nanos = 0 } = time;
  const date = new Date(seconds * 1000);
  const clock = date.toISOString().slice(11, 19);
  const ms = String(Math.floor(nanos / 1e6)).padStart(3, "0");
  return `${MONTHS[date.getUTCMonth()]} ${String(date.getUTCDate()).padStart(2)} ${clock}.${ms}`;
}

/** Name and port of an end. */
function hostText(
  ip: string,
  port: number | undefined,
  { namespace, pod_name }: EndpointMessage = {},
  service: ServiceMessage | undefined,
  names: readonly string[] | undefined,
  numeric: boolean,
): string {
  const name = numeric
    ? ip
    : pod_name
    ? `${namespace}/${pod_name}`
    : service?.name
    ? `${service.namespace}/${service.name}`
    : names?.length
    ? names.join(",")
    : ip;
  if (!port) return name;
  return name === ip && ip.includes(":") ? `[${ip}]:${port}` : `${name}:${port}`;
}

/** Both ends. */
function hostTexts(flow: FlowMessage, { numeric }: FlowTextOptions): [string, string] {
  const { IP, l4 } = flow;
  if (!IP) return ["", ""];
  const ports = l4?.TCP ?? l4?.UDP ?? l4?.SCTP;
  return [
    hostText(
      ...[IP.source ?? "", ports?.source_port, flow.source] as const,
      ...[flow.source_service, flow.source_names, numeric] as const,
    ),
    hostText(
      ...[IP.destination ?? "", ports?.destination_port, flow.destination] as const,
      ...[flow.destination_service, flow.destination_names, numeric] as const,
    ),
  ];
}

function identityText({ identity = 0 }: EndpointMessage = {}): string {
  return `(${RESERVED_IDENTITIES[identity] ?? `ID:${identity}`})`;
}

/** What kind of event it is: a point of observation, why it was dropped, what decided. */
function typeText({ event_type, traffic_direction = 0, l7 }: FlowMessage): string {
  if (l7) {
    const protocol = l7.http ? "http" : l7.dns ? "dns" : "l7";
    return `${protocol}-${["unknown", "request", "response", "sample"][l7.type ?? 0]}`;
  }
  const { type, sub_type = 0 } = event_type ?? {};
  switch (type) {
    case EventType.TRACE:
      return TRACE_POINTS[sub_type] ?? String(sub_type);
    case EventType.DROP:
      return DROP_REASON_TEXTS.get(sub_type) ?? reasonText(sub_type);
    case EventType.POLICY_VERDICT:
      return `policy-verdict:none ${DIRECTIONS[traffic_direction]}`;
    default:
      return "UNKNOWN";
  }
}

function verdictText(flow: FlowMessage, { policyNames }: FlowTextOptions): string {
  const { verdict = 0, event_type } = flow;
  const name = event_type?.type === EventType.POLICY_VERDICT && verdict === HubbleVerdict.FORWARDED
    ? "ALLOWED"
    : VERDICTS[verdict] ?? String(verdict);
  const names = policies(flow).map(({ name, kind }) => `${name} (${kind})`);
  return policyNames && names.length > 0 ? `${name} BY ${names.join(", ")}` : name;
}

function policies(flow: FlowMessage): readonly PolicyMessage[] {
  return flow.egress_allowed_by ?? flow.ingress_allowed_by ?? flow.egress_denied_by ??
    flow.ingress_denied_by ?? [];
}

/** Lines below a flow: the rule that decided and the command that shows more. */
function whyLines(
  { policy_log = [], drop_reason = 0, source, destination }: FlowMessage,
  { why }: FlowTextOptions,
): string[] {
  if (!why) return [];
  const more = drop_reason === 0
    ? undefined
    : moreAbout(drop_reason, source?.ID || destination?.ID || 0);
  return [
    ...policy_log.map((rule) => `  rule: ${rule}`),
    ...(more === undefined ? [] : [`  more: ${more}`]),
  ];
}

/** One line, as the CLI's `compact`. */
export function compactText(flow: FlowMessage, options: FlowTextOptions): string {
  const [from, to] = hostTexts(flow, options);
  const left = `${from} ${identityText(flow.source)}`;
  const right = `${to} ${identityText(flow.destination)}`;
  const { is_reply } = flow;
  const ends = !is_reply
    ? `${left} <> ${right}`
    : is_reply.value
    ? `${right} <- ${left}`
    : `${left} -> ${right}`;
  const node = options.nodeName ? ` [${flow.node_name}]` : "";
  const line = `${clockText(flow.time, options.fullTime)}${node}: ${ends} ${typeText(flow)} ` +
    `${verdictText(flow, options)} (${flow.Summary ?? ""})`;
  return [line, ...whyLines(flow, options)].map(printable).join("\n");
}

/** A line a field, as the CLI's `dict`. */
export function dictText(flow: FlowMessage, options: FlowTextOptions): string {
  const [from, to] = hostTexts(flow, options);
  return [
    ["TIMESTAMP", clockText(flow.time, options.fullTime)],
    ...(options.nodeName ? [["NODE", flow.node_name ?? ""]] : []),
    ["SOURCE", from],
    ["DESTINATION", to],
    ["TYPE", typeText(flow)],
    ["VERDICT", verdictText(flow, options)],
    ["SUMMARY", flow.Summary ?? ""],
    ...(options.why && flow.policy_log ? [["RULE", flow.policy_log.join("; ")]] : []),
  ].map(([name, value]) => printable(`${name!.padStart(11)}: ${value}`)).join("\n");
}

/** The cells of a row of the table; the titles without a flow. */
export function tableCells(flow: FlowMessage | undefined, options: FlowTextOptions): string[] {
  if (!flow) {
    return [
      "TIMESTAMP",
      ...(options.nodeName ? ["NODE"] : []),
      ...["SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"],
      ...(options.why ? ["RULE"] : []),
    ];
  }
  return [
    clockText(flow.time, options.fullTime),
    ...(options.nodeName ? [flow.node_name ?? ""] : []),
    ...hostTexts(flow, options),
    typeText(flow),
    verdictText(flow, options),
    flow.Summary ?? "",
    ...(options.why ? [flow.policy_log?.join("; ") ?? ""] : []),
  ].map(printable);
}

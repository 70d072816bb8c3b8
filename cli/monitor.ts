/** `pilus monitor` */

import { formatSocketAddress } from "../datapath/net/ip.ts";
import { bold, cyan, dim, green, red, setColorEnabled, yellow } from "@std/fmt/colors";
import { AgentUnreachableError } from "../agent/api/client.ts";
import type { AgentEventView, FlowEnd, FlowView } from "../agent/api/views.ts";
import { parseFlowQuery } from "../agent/api/flow_query.ts";
import { agentClient } from "./ask.ts";
import { type Invocation, type OptionValues, UsageError } from "./command.ts";
import { shortLabels } from "./endpoint.ts";
import { queryOf } from "./filter.ts";
import { hasColor, print, write } from "./output.ts";

type Row = FlowView | AgentEventView;

/** Options that are parameters of the request. */
const PARAMETERS = [
  "verdict",
  "protocol",
  ...["", "from-", "to-"].flatMap((end) => ["pod", "ip", "port", "identity"].map((n) => end + n)),
  "last",
  "since",
  "follow",
];

export async function monitor({ options }: Invocation): Promise<void> {
  setColorEnabled(hasColor());
  const query = monitorQuery(options);
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  Deno.addSignalListener("SIGINT", interrupt);
  let left = Number(options.count ?? Infinity);
  try {
    const path = `/v1/monitor?${query}`;
    for await (const row of agentClient(options).stream<Row>(path, { signal: stop.signal })) {
      if (options.output === "json") write(JSON.stringify(row) + "\n");
      else print(formatFlow(row));
      if (--left <= 0) return;
    }
    if (parseFlowQuery(query).follow) throw new AgentUnreachableError("The agent has ended");
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
}

/** What the options ask of the agent. Throws UsageError for a wrong option. */
export function monitorQuery(options: OptionValues): URLSearchParams {
  const query = queryOf(options, PARAMETERS, parseFlowQuery);
  const named = options.type as string[] | undefined ?? [];
  if (options.drops && named.some((type) => type !== "drop")) {
    throw new UsageError(`--drops is --type drop, and not --type ${named.join(",")}`);
  }
  const types = options.drops ? ["drop"] : named;
  if (types.length > 0) query.set("type", types.join(","));
  if (options.count !== undefined) query.set("limit", String(options.count));
  return query;
}

function endName({ ip, port, pod, identity, labels }: FlowEnd): string {
  const name = pod ?? (labels?.length ? shortLabels(labels) : `identity ${identity}`);
  return `${formatSocketAddress(ip, port)} ${dim(`(${name})`)}`;
}

function word({ type, verdict }: FlowView): string {
  if (type === "drop") return red("DROP ");
  if (type === "trace") return cyan("TRACE");
  return verdict === "forwarded" ? green("ALLOW") : red("DENY ");
}

/**
 * One line. Below it, of a drop or verdict, the rule that decided; below a drop the command that
 * shows more.
 */
export function formatFlow(flow: Row): string {
  const time = dim(flow.time.slice(11, 23));
  if (flow.type === "agent") return `${time} ${bold("AGENT")} ${flow.event}: ${flow.text}\n`;
  const { type, protocol, tcpFlags, icmpType, direction, rule } = flow;
  const detail = [
    protocol,
    tcpFlags || undefined,
    icmpType === undefined ? undefined : `type ${icmpType}`,
    type === "drop" ? bold(flow.reason ?? "") : flow.status,
    type !== "trace" && direction ? `at ${direction}` : undefined,
    `${flow.length} B`,
    dim(flow.point),
  ].filter((part) => part !== undefined).join(" ");
  const lines = [
    `${time} ${word(flow)} ${endName(flow.source)} -> ${endName(flow.destination)} ${detail}`,
  ];
  const below = (name: string, text: string) =>
    lines.push(`${" ".repeat(13)}${yellow(name.padEnd(5))} ${text}`);
  if (rule && type !== "trace") below("rule", rule.text);
  if (flow.more) below("more", dim(flow.more));
  return lines.join("\n") + "\n";
}

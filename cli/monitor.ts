/** `pilus monitor` */

import { bold, cyan, dim, green, red, setColorEnabled, yellow } from "@std/fmt/colors";
import { AgentUnreachableError } from "../agent/api/client.ts";
import type { FlowEnd, FlowView } from "../agent/api/views.ts";
import { agentClient } from "./ask.ts";
import type { Invocation, OptionValues } from "./command.ts";
import { shortLabels } from "./endpoint.ts";
import { ipOption, podOption, protocolOption } from "./filter.ts";
import { hasColor, print, write } from "./output.ts";
import { endText } from "./service.ts";

export async function monitor({ options }: Invocation): Promise<void> {
  setColorEnabled(hasColor());
  const matches = flowFilter(options);
  const types = options.drops ? ["drop"] : options.type as string[];
  const path = types.length > 0 ? `/v1/monitor?type=${types.join(",")}` : "/v1/monitor";
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  Deno.addSignalListener("SIGINT", interrupt);
  let left = Number(options.count ?? Infinity);
  try {
    for await (const flow of agentClient(options).stream<FlowView>(path, { signal: stop.signal })) {
      if (!matches(flow)) continue;
      if (options.output === "json") write(JSON.stringify(flow) + "\n");
      else print(formatFlow(flow));
      if (--left <= 0) return;
    }
    throw new AgentUnreachableError("The agent has ended");
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
}

/** Whether a flow is one of those that the options ask for. Throws UsageError for a wrong option. */
export function flowFilter(options: OptionValues): (flow: FlowView) => boolean {
  const { port, identity, verdict } = options;
  const [pod, fromPod, toPod] = ["pod", "from-pod", "to-pod"].map((n) => podOption(options, n));
  const [ip, fromIp, toIp] = ["ip", "from-ip", "to-ip"].map((n) => ipOption(options, n));
  const hasProtocol = protocolOption(options);
  const either = (flow: FlowView, test: (end: FlowEnd) => boolean) =>
    test(flow.source) || test(flow.destination);
  return (flow) =>
    (pod === undefined || either(flow, (e) => e.pod === pod)) &&
    (fromPod === undefined || flow.source.pod === fromPod) &&
    (toPod === undefined || flow.destination.pod === toPod) &&
    (ip === undefined || either(flow, (e) => e.ip === ip)) &&
    (fromIp === undefined || flow.source.ip === fromIp) &&
    (toIp === undefined || flow.destination.ip === toIp) &&
    (port === undefined || either(flow, (e) => e.port === port)) &&
    (identity === undefined || either(flow, (e) => e.identity === identity)) &&
    (verdict === undefined || flow.verdict === verdict) &&
    hasProtocol(flow.protocol);
}

function endName({ ip, port, pod, identity, labels }: FlowEnd): string {
  const who = pod ?? (labels?.length ? shortLabels(labels) : `identity ${identity}`);
  return `${endText(ip, port)} ${dim(`(${who})`)}`;
}

function word({ type, verdict }: FlowView): string {
  if (type === "drop") return red("DROP ");
  if (type === "trace") return cyan("TRACE");
  return verdict === "forwarded" ? green("ALLOW") : red("DENY ");
}

/**
 * One line. Below it, of a drop or verdict, the rule that decided; below a drop the command that
 * tells more.
 */
export function formatFlow(flow: FlowView): string {
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
    `${dim(flow.time.slice(11, 23))} ${word(flow)} ${endName(flow.source)} -> ${
      endName(flow.destination)
    } ${detail}`,
  ];
  const below = (name: string, text: string) =>
    lines.push(`${" ".repeat(13)}${yellow(name.padEnd(5))} ${text}`);
  if (rule && type !== "trace") below("rule", rule.text);
  if (flow.more) below("more", dim(flow.more));
  return lines.join("\n") + "\n";
}

/** `pilus monitor` */

import { bold, cyan, dim, green, red, setColorEnabled, yellow } from "@std/fmt/colors";
import type { FlowEnd, FlowView } from "../agent/api/views.ts";
import { agentClient } from "./ask.ts";
import { type Invocation, type OptionValues, UsageError } from "./command.ts";
import { shortLabels } from "./endpoint.ts";
import { write } from "./output.ts";
import { endText } from "./service.ts";

const TYPES = ["drop", "trace", "verdict"];

export async function monitor({ options }: Invocation): Promise<void> {
  setColorEnabled(Deno.stdout.isTerminal() && !Deno.env.has("NO_COLOR"));
  const types = options.drops
    ? ["drop"]
    : (options.type as string[]).length
    ? options.type as string[]
    : TYPES;
  const wrong = types.find((type) => !TYPES.includes(type));
  if (wrong) throw new UsageError(`No type \`${wrong}\`; there is ${TYPES.join(", ")}`);
  const matches = flowFilter(options);
  const stop = new AbortController();
  Deno.addSignalListener("SIGINT", () => stop.abort());
  let left = Number(options.count ?? Infinity);
  try {
    const path = `/v1/monitor?type=${types.join(",")}`;
    for await (const flow of agentClient(options).stream<FlowView>(path, { signal: stop.signal })) {
      if (!matches(flow)) continue;
      write(options.output === "json" ? JSON.stringify(flow) + "\n" : formatFlow(flow));
      if (--left <= 0) return;
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
}

/** Whether a flow is one of those that the options ask for. */
export function flowFilter(options: OptionValues): (flow: FlowView) => boolean {
  const { pod, ip, port, protocol, identity, verdict } = options;
  const fromPod = options["from-pod"], toPod = options["to-pod"];
  const fromIp = options["from-ip"], toIp = options["to-ip"];
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
    (protocol === undefined || flow.protocol.toLowerCase() === String(protocol).toLowerCase()) &&
    (verdict === undefined || flow.verdict === verdict);
}

function endName({ ip, port, pod, identity, labels }: FlowEnd): string {
  const who = pod ?? (labels ? shortLabels(labels) : String(identity));
  return `${endText(ip, port)} ${dim(`(${who})`)}`;
}

/** One line; of what a rule decided a second one with the rule. */
export function formatFlow(flow: FlowView): string {
  const { type, protocol, tcpFlags, icmpType, direction, rule } = flow;
  const word = type === "drop"
    ? red("DROP   ")
    : type === "verdict"
    ? green("ALLOW  ")
    : cyan("TRACE  ");
  const detail = [
    protocol,
    tcpFlags || undefined,
    icmpType === undefined ? undefined : `type ${icmpType}`,
    type === "drop" ? bold(flow.reason ?? "") : flow.status,
    type === "drop" && direction ? `at ${direction}` : undefined,
    `${flow.length} B`,
    dim(flow.point),
  ].filter((part) => part !== undefined).join(" ");
  const line = `${dim(flow.time.slice(11, 23))} ${word}${endName(flow.source)} -> ${
    endName(flow.destination)
  } ${detail}\n`;
  if (!rule || type === "trace") return line;
  const look = flow.endpoint && type === "drop"
    ? dim(`; look further with: pilus policy get ${flow.endpoint}`)
    : "";
  return `${line}             ${yellow("rule")}   ${rule.text}${look}\n`;
}

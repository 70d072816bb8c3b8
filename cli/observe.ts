/** `pilus observe` */

import { AgentUnreachableError } from "../agent/api/client.ts";
import type { GrpcClient } from "../agent/grpc/grpc_client.ts";
import { GrpcError, Status } from "../agent/grpc/status.ts";
import { decode } from "../agent/hubble/messages.ts";
import { resumedFlows } from "../agent/hubble/resumed_flows.ts";
import { type Invocation, UsageError } from "./command.ts";
import { FlowPrinter, type FlowPrinterOptions } from "./observe/flow_printer.ts";
import { connectHubble } from "./observe/hubble_client.ts";
import { observeRequest } from "./observe/query.ts";
import { print, printError, write } from "./output.ts";

export async function observe({ options }: Invocation): Promise<void> {
  const request = observeRequest(options);
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  Deno.addSignalListener("SIGINT", interrupt);
  const json = options.output === "json" || options.output === "jsonpb";
  const printer = new FlowPrinter({
    format: options.output as FlowPrinterOptions["format"],
    follow: request.follow ?? false,
    numeric: Boolean(options.numeric),
    nodeName: Boolean(options["print-node-name"]),
    policyNames: Boolean(options["print-policy-names"]),
    why: Boolean(options.why),
    fullTime: options["time-format"] === "RFC3339",
    print: (line) => (json ? write : print)(`${line}\n`),
    tell: printError,
  });
  try {
    const connect = () => connectHubble(options);
    const answers = resumedFlows({
      connect,
      request,
      signal: stop.signal,
      onAway: ({ message }) => printError(`${message}; trying again`),
    });
    for await (const { response } of answers) printer.write(response);
    printer.end();
    if (printer.flows === 0 && !request.follow) printError(await whyNone(await connect()));
  } catch (error) {
    if (stop.signal.aborted) return;
    if (!(error instanceof GrpcError)) throw error;
    if (error.code === Status.INVALID_ARGUMENT) {
      throw new UsageError(error.message, { cause: error });
    }
    if (error.code === Status.UNAVAILABLE) {
      throw new AgentUnreachableError(error.message, { cause: error });
    }
    throw new Error(`${error.codeName}: ${error.message}`, { cause: error });
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
}

/** Why nothing was printed, for people. */
async function whyNone(client: GrpcClient): Promise<string> {
  await using _client = client;
  for await (const bytes of client.call("/observer.Observer/ServerStatus", new Uint8Array(0))) {
    const { num_flows = 0, seen_flows = 0 } = decode<{ num_flows?: number; seen_flows?: number }>(
      "observer.ServerStatusResponse",
      bytes,
    );
    return seen_flows === 0
      ? "No flows: the server has seen none yet"
      : `No flow of the ${num_flows} that are kept passes; ${seen_flows} were seen`;
  }
  return "No flows";
}

/** `pilus observe` */

import { AgentUnreachableError } from "../agent/api/client.ts";
import type { GrpcClient } from "../agent/grpc/grpc_client.ts";
import { GrpcError, Status } from "../agent/grpc/status.ts";
import type { GetFlowsRequest, GetFlowsResponse } from "../agent/hubble/flow_message.ts";
import { decode, encode } from "../agent/hubble/messages.ts";
import { type Invocation, UsageError } from "./command.ts";
import { FlowPrinter, type FlowPrinterOptions } from "./observe/flow_printer.ts";
import { connectHubble } from "./observe/hubble_client.ts";
import { observeRequest } from "./observe/query.ts";
import { print, write } from "./output.ts";

/** Milliseconds between attempts to go on with a stream that broke. */
const RETRY_MS = 1_000;

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
    tell: (line) => console.error(line),
  });
  try {
    const connect = () => connectHubble(options);
    for await (const response of flows(connect, request, stop.signal, console.error)) {
      printer.write(response);
    }
    printer.end();
    if (printer.flows === 0 && !request.follow) console.error(await whyNone(await connect()));
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

/**
 * What a server answers. A stream that follows goes on where it was when it breaks: what was seen is
 * not given again. Throws what `connect` throws the first time, and GrpcError.
 */
export async function* flows(
  connect: () => Promise<GrpcClient>,
  request: GetFlowsRequest,
  signal: AbortSignal,
  tell: (line: string) => void,
): AsyncGenerator<GetFlowsResponse> {
  let seen: Seen | undefined;
  for (let first = true; !signal.aborted; first = false) {
    try {
      await using client = await connect();
      const bytes = encode("observer.GetFlowsRequest", seen ? seen.rest(request) : request);
      for await (const message of client.call("/observer.Observer/GetFlows", bytes, signal)) {
        const response = decode<GetFlowsResponse>("observer.GetFlowsResponse", message);
        if (request.follow) seen ??= new Seen();
        if (seen?.has(response)) continue;
        yield response;
      }
      if (!request.follow || request.until) return;
    } catch (error) {
      const away = error instanceof AgentUnreachableError ||
        error instanceof GrpcError && error.code === Status.UNAVAILABLE;
      if (!away || !request.follow || first && !seen) throw error;
      if (signal.aborted) return;
      tell(`${(error as Error).message}; trying again`);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** The last flows that were seen: those of one moment. */
class Seen {
  #time = { seconds: 0, nanos: 0 };
  readonly #uuids = new Set<string>();

  /** Whether the flow of a response was seen; from now on it is. */
  has({ flow, time }: GetFlowsResponse): boolean {
    if (!flow?.uuid || !time) return false;
    if (this.#uuids.has(flow.uuid)) return true;
    const { seconds, nanos = 0 } = time;
    const later = seconds - this.#time.seconds || nanos - this.#time.nanos;
    if (later > 0) {
      this.#uuids.clear();
      this.#time = { seconds, nanos };
    }
    this.#uuids.add(flow.uuid);
    return false;
  }

  /** The request for what comes after. */
  rest({ number: _, ...request }: GetFlowsRequest): GetFlowsRequest {
    return this.#time.seconds === 0 ? request : { ...request, since: this.#time };
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

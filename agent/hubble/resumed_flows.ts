/** Flows of a server, over breaks of the connection. */

import { pause } from "../core/pause.ts";
import type { GrpcClient } from "../grpc/grpc_client.ts";
import { GrpcError, Status } from "../grpc/status.ts";
import type { GetFlowsRequest, GetFlowsResponse, TimeMessage } from "./flow_message.ts";
import { decode, encode } from "./messages.ts";

/** Milliseconds between attempts to go on with a stream that broke. */
const RETRY_MS = 1_000;

/** One answer, as bytes and read. */
export interface FlowAnswer {
  bytes: Uint8Array;
  response: GetFlowsResponse;
}

/** Options for {@linkcode resumedFlows}. */
export interface ResumedFlowsOptions {
  connect: () => Promise<GrpcClient>;
  request: GetFlowsRequest;
  signal: AbortSignal;
  /** Called when the server is away, before each attempt to go on. */
  onAway: (error: Error) => void;
  /** Called when it is there, at first and again. @default {nothing is done} */
  onBack?: () => void;
  /** Whether to wait for a server that was never there. @default {false} */
  patient?: boolean;
}

/**
 * What a server answers. A stream that follows goes on where it was when it breaks: what was seen is
 * not given again. Others, and one that never began, throw what `connect` throws and GrpcError.
 */
export async function* resumedFlows(
  { connect, request, signal, onAway, onBack = () => {}, patient = false }: ResumedFlowsOptions,
): AsyncGenerator<FlowAnswer> {
  const seen = new Seen();
  let begun = patient, away = true;
  while (!signal.aborted) {
    let client: GrpcClient | undefined;
    try {
      client = await connect();
      if (away) onBack();
      away = false;
      const asked = encode("observer.GetFlowsRequest", seen.rest(request));
      for await (const bytes of client.call("/observer.Observer/GetFlows", asked, signal)) {
        const response = decode<GetFlowsResponse>("observer.GetFlowsResponse", bytes);
        begun = true;
        if (!request.follow || !seen.has(response)) yield { bytes, response };
      }
      if (!request.follow || request.until) return;
    } catch (error) {
      const gone = client === undefined ||
        error instanceof GrpcError && error.code === Status.UNAVAILABLE;
      if (!gone || !request.follow || !begun) throw error;
      if (signal.aborted) return;
      away = true;
      onAway(error as Error);
    } finally {
      await client?.[Symbol.asyncDispose]();
    }
    await pause(RETRY_MS, signal);
  }
}

/** The last flows that were seen: those of one moment. */
class Seen {
  #time: Required<TimeMessage> | undefined;
  readonly #uuids = new Set<string>();

  /** Whether the flow of a response was seen; from now on it is. */
  has({ flow, time }: GetFlowsResponse): boolean {
    if (!flow?.uuid || !time) return false;
    if (this.#uuids.has(flow.uuid)) return true;
    const { seconds, nanos = 0 } = time, before = this.#time ?? { seconds: 0, nanos: 0 };
    if ((seconds - before.seconds || nanos - before.nanos) > 0) {
      this.#uuids.clear();
      this.#time = { seconds, nanos };
    }
    this.#uuids.add(flow.uuid);
    return false;
  }

  /** The request for what comes after. */
  rest({ number, ...request }: GetFlowsRequest): GetFlowsRequest {
    if (this.#time) return { ...request, since: this.#time };
    return number === undefined ? request : { ...request, number };
  }
}

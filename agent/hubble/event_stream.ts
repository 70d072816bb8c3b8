/** What all streams of events have: where they begin and where they end. */

import type { Flow } from "../flows/flow.ts";
import type { FlowCursor } from "../flows/flow_cursor.ts";
import { FilterError } from "./filter/filter_error.ts";
import type { StreamRequest, TimeMessage } from "./flow_message.ts";
import { GrpcError, Status } from "../grpc/status.ts";

/** Milliseconds that an event may come later than one that happened after it. */
const DISORDER_MS = 1_000;

/** What a request for events asks for. */
export interface EventRange {
  /** Events that are sent at most. */
  most: number;
  follow: boolean;
  /** Milliseconds since 1970, after which nothing is sent. */
  until: number;
  /** Goes to where the stream begins. */
  begin(cursor: FlowCursor): Promise<void>;
}

/** Throws GrpcError when the request cannot be. */
export function eventRange(request: StreamRequest): EventRange {
  const { first = false, follow = false } = request;
  const number = request.number || Infinity;
  if (first && follow) {
    throw new GrpcError(Status.INVALID_ARGUMENT, "first and follow exclude each other");
  }
  const since = request.since && milliseconds(request.since);
  const until = request.until ? milliseconds(request.until) : Infinity;
  return {
    most: follow ? Infinity : number,
    follow,
    until,
    begin: async (cursor) => {
      if (since !== undefined) await cursor.rewind(Infinity, since);
      else if (first) await cursor.rewind(Infinity);
      else if (!follow || number !== Infinity) await cursor.rewind(number);
    },
  };
}

/**
 * Batches of events, each with those of a cursor that are not after the end of the range. `missed`:
 * events that the client was too slow for since the last batch. Ends when the signal comes.
 */
export async function* eventBatches(
  cursor: FlowCursor,
  { most, follow, until, begin }: EventRange,
  signal: AbortSignal,
): AsyncGenerator<{ flows: Flow[]; missed: number }> {
  await begin(cursor);
  const end = new AbortController();
  // a stream that follows ends although nothing more comes
  const timer = follow && until < Infinity
    ? setTimeout(
      () => end.abort(),
      Math.min(2 ** 31 - 1, Math.max(0, until - Date.now()) + DISORDER_MS),
    )
    : undefined;
  try {
    const either = AbortSignal.any([signal, end.signal]);
    let told = 0;
    for (let left = most; left > 0;) {
      const taken = await cursor.take(either, left);
      const lost = cursor.missed().reduce((sum, { count }) => sum + count, 0);
      if (taken.length === 0 && lost === told) return;
      const flows = taken.filter((flow) => timeOf(flow) <= until);
      left -= flows.length;
      yield { flows, missed: lost - told };
      told = lost;
      if (taken.length === 0) return;
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Milliseconds since 1970. */
export function timeOf({ seconds, nanoseconds }: Flow): number {
  return seconds * 1000 + nanoseconds / 1e6;
}

function milliseconds({ seconds = 0, nanos = 0 }: Partial<TimeMessage>): number {
  return seconds * 1000 + nanos / 1e6;
}

/** What `make` gives; what is wrong with a filter is the client's fault. */
export function forClient<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    throw new GrpcError(Status.INVALID_ARGUMENT, error.message, { cause: error });
  }
}

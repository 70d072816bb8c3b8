/** The answer of a relay's `GetFlows`. */

import { GrpcError, Status } from "../grpc/status.ts";
import type { GetFlowsRequest } from "../hubble/flow_message.ts";
import { encode } from "../hubble/messages.ts";
import { resumedFlows } from "../hubble/resumed_flows.ts";
import { timeMessage } from "../hubble/times.ts";
import { Merge, type Timed } from "./merge.ts";
import type { RelayPeer } from "./peers.ts";
import type { RelayOptions } from "./relay_options.ts";

/** Milliseconds that flows wait for earlier ones of nodes that say nothing. */
const PATIENCE_MS = 500;

const CONNECTED = 1, UNAVAILABLE = 2, GONE = 3;

interface Answer extends Timed {
  bytes: Uint8Array;
}

/** Flows of all peers by time, and which nodes are there, away and back. */
export async function* relayedFlows(
  { name, peers, connect }: RelayOptions,
  request: GetFlowsRequest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array[]> {
  const end = new AbortController();
  const stop = AbortSignal.any([signal, end.signal]);
  const merge = new Merge<Answer>(PATIENCE_MS);
  const follow = request.follow ?? false;
  const streams = new Map<string, AbortController>();

  let refusal: GrpcError | undefined;
  const begin = (peer: RelayPeer) => {
    const own = new AbortController();
    streams.set(peer.name, own);
    let away = false;
    const one = AbortSignal.any([stop, own.signal]);
    const events = async function* (): AsyncGenerator<Answer> {
      const answers = resumedFlows({
        connect: () => connect(peer),
        request,
        signal: one,
        patient: follow,
        onAway: ({ message }) => {
          if (!away) void merge.add(notice(UNAVAILABLE, peer.name, message));
          away = true;
        },
        onBack: () => {
          away = false;
          void merge.add(notice(CONNECTED, peer.name));
        },
      });
      for await (const { bytes, response: { time } } of answers) {
        yield { bytes, time: time ? time.seconds * 1000 + (time.nanos ?? 0) / 1e6 : Date.now() };
      }
    };
    merge.add(events()).catch((error: Error) => {
      if (error instanceof GrpcError && error.code === Status.INVALID_ARGUMENT) {
        // the request is wrong for every node
        refusal = error;
        end.abort();
      }
      if (!one.aborted) void merge.add(notice(UNAVAILABLE, peer.name, error.message));
    });
  };
  /** One message about a node, as a stream of its own. */
  const notice = async function* (state: number, node: string, message = "") {
    const status = { state_change: state, node_names: [node], message };
    yield { bytes: await statusAnswer(name, status), time: Date.now() };
  };
  const update = () => {
    const now = new Map(peers.list().map((peer) => [peer.name, peer]));
    for (const [known, own] of streams) {
      if (now.has(known)) continue;
      own.abort();
      streams.delete(known);
      void merge.add(notice(GONE, known));
    }
    for (const [known, peer] of now) if (!streams.has(known)) begin(peer);
  };

  update();
  using _watch = follow ? peers.watch(update) : undefined;
  try {
    for await (const batch of merge.events(stop, () => follow)) {
      yield batch.map(({ bytes }) => bytes);
    }
    if (refusal) throw refusal;
  } finally {
    end.abort();
  }
}

function statusAnswer(name: string, node_status: object): Uint8Array {
  const time = timeMessage(Date.now());
  return encode("observer.GetFlowsResponse", { node_status, node_name: name, time });
}

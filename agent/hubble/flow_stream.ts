/** The answer of `GetFlows`. */

import { AgentEvent, type Flow, FlowType, PACKET_TYPES } from "../flows/flow.ts";
import type { FlowRing } from "../flows/flow_ring.ts";
import { eventBatches, eventRange, forClient, timeOf } from "./event_stream.ts";
import { fieldMask } from "./field_mask.ts";
import { filterOf } from "./filter/filter.ts";
import type { FlowMaker } from "./flow_maker.ts";
import {
  EventType,
  type FlowFilterMessage,
  type GetFlowsRequest,
  HubbleVerdict,
  LostSource,
} from "./flow_message.ts";
import { encode, encodeFlow } from "./messages.ts";
import { timeMessage } from "./times.ts";

/** Flows as they are asked for, and how many are missing where some are. */
export async function* flowStream(
  ring: FlowRing,
  maker: FlowMaker,
  request: GetFlowsRequest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array[]> {
  const { whitelist = [], blacklist = [], field_mask, experimental } = request;
  const range = eventRange(request);
  const passes = forClient(() => filterOf(whitelist, blacklist));
  const paths = field_mask?.paths ?? experimental?.field_mask?.paths;
  const mask = forClient(() => fieldMask(paths));
  const all = whitelist.length === 0 && blacklist.length === 0;
  // what found no room counts for those who see flows come, not as a flow of those asked for
  let begun = false;
  using cursor = ring.cursor({
    consumer: "hubble",
    filter: { types: [...flowTypes(whitelist), FlowType.AGENT] },
    passes: (flow) =>
      flow.kind === "packet"
        ? timeOf(flow) <= range.until && (all || passes(maker.message(flow)))
        : begun && flow.event === AgentEvent.EVENTS_LOST,
    follow: range.follow,
  });
  const batches = eventBatches(cursor, {
    ...range,
    begin: async (cursor) => {
      await range.begin(cursor);
      begun = true;
    },
  }, signal);
  for await (const { flows, missed } of batches) {
    const messages = flows.map((flow) =>
      flow.kind === "packet"
        ? flowAnswer(maker, mask, flow)
        : lostAnswer(maker, LostSource.PERF_EVENT_RING_BUFFER, flow.count ?? 1, timeOf(flow))
    );
    if (missed > 0) {
      messages.unshift(lostAnswer(maker, LostSource.HUBBLE_RING_BUFFER, missed, Date.now()));
    }
    yield messages;
  }
}

function flowAnswer(
  maker: FlowMaker,
  mask: ReturnType<typeof fieldMask>,
  flow: Flow & { kind: "packet" },
): Uint8Array {
  const message = maker.message(flow), { time } = message;
  return encodeFlow({ flow: mask(message), node_name: maker.node, ...(time ? { time } : {}) });
}

function lostAnswer({ node }: FlowMaker, source: number, count: number, ms: number): Uint8Array {
  return encode("observer.GetFlowsResponse", {
    lost_events: { source, num_events_lost: count },
    node_name: node,
    time: timeMessage(ms),
  });
}

const TYPES = new Map<number, number>([
  [EventType.DROP, FlowType.DROP],
  [EventType.TRACE, FlowType.TRACE],
  [EventType.POLICY_VERDICT, FlowType.VERDICT],
]);

/** The types of flows that some filter may pass, so that others are not even decoded. */
function flowTypes(filters: readonly FlowFilterMessage[]): readonly number[] {
  if (filters.length === 0) return PACKET_TYPES;
  const possible = ({ verdict, event_type, drop_reason_desc }: FlowFilterMessage) =>
    PACKET_TYPES.filter((type) =>
      (!verdict ||
        verdict.includes(
          type === FlowType.DROP ? HubbleVerdict.DROPPED : HubbleVerdict.FORWARDED,
        )) &&
      (!event_type || event_type.some((one) => !one.type || TYPES.get(one.type) === type)) &&
      (!drop_reason_desc || drop_reason_desc.includes(0) || type === FlowType.DROP)
    );
  return [...new Set(filters.flatMap(possible))];
}

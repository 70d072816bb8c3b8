/** Filters of Hubble's API as functions on flows. */

import type { FlowFilterMessage, TcpFlagsMessage } from "../flow_message.ts";
import { HubbleVerdict } from "../flow_message.ts";
import { endTests, type FlowTest, given } from "./end_filter.ts";
import { FilterError } from "./filter_error.ts";
import { l7Tests } from "./l7_filter.ts";
import { labelSelectors } from "./label_selector.ts";
import { nodePatterns } from "./patterns.ts";

/**
 * Passes a flow that fits one filter of the whitelist, if there is any, and none of the blacklist.
 * Throws FilterError.
 */
export function filterOf(
  whitelist: readonly FlowFilterMessage[] = [],
  blacklist: readonly FlowFilterMessage[] = [],
): FlowTest {
  const wanted = whitelist.map(test), unwanted = blacklist.map(test);
  return (flow) =>
    (wanted.length === 0 || wanted.some((passes) => passes(flow))) &&
    !unwanted.some((passes) => passes(flow));
}

/** All fields that are there must fit. */
function test(filter: FlowFilterMessage): FlowTest {
  if (filter.experimental?.cel_expression?.length) {
    throw new FilterError("expressions of CEL are not supported");
  }
  const tests = [
    ...[
      given(filter.verdict, (values) => ({ verdict }) => values.includes(verdict ?? 0)),
      given(
        filter.event_type,
        (values) => ({ event_type }) =>
          values.some(({ type = 0, match_sub_type, sub_type = 0 }) =>
            event_type !== undefined && (type === 0 || type === event_type.type) &&
            (!match_sub_type || sub_type === (event_type.sub_type ?? 0))
          ),
      ),
      given(
        filter.traffic_direction,
        (values) => (flow) => values.includes(flow.traffic_direction ?? 0),
      ),
      given(
        filter.drop_reason_desc,
        (values) => (flow) => values.includes(flow.drop_reason_desc ?? 0),
      ),
      given(
        filter.reply,
        (values) => ({ is_reply, verdict }) =>
          is_reply || verdict === HubbleVerdict.DROPPED
            ? values.includes(is_reply?.value ?? false)
            : false,
      ),
      given(filter.ip_version, (values) => ({ IP }) => values.includes(IP?.ipVersion ?? 0)),
      given(filter.protocol, protocolTest),
      given(filter.tcp_flags, (values) => ({ l4 }) => {
        const flags = l4?.TCP?.flags;
        return flags !== undefined && values.some((wanted) => hasFlags(flags, wanted));
      }),
      given(
        filter.interface,
        (values) => (flow) =>
          values.some(({ index, name }) =>
            flow.interface !== undefined && (!index || index === flow.interface.index) &&
            (!name || name === flow.interface.name)
          ),
      ),
      given(filter.uuid, (values) => ({ uuid }) => values.includes(uuid ?? "")),
      given(
        filter.trace_id,
        (values) => ({ trace_context }) => values.includes(trace_context?.parent?.trace_id ?? ""),
      ),
      given(filter.node_name, (values) => {
        const passes = nodePatterns(values);
        return ({ node_name }) => node_name !== undefined && passes(node_name);
      }),
      given(filter.node_labels, (values) => {
        const passes = labelSelectors(values);
        return ({ node_labels }) => passes(node_labels ?? []);
      }),
    ].filter((one) => one !== undefined),
    ...l7Tests(filter),
    ...endTests(filter),
  ];
  return (flow) => {
    for (const passes of tests) if (!passes(flow)) return false;
    return true;
  };
}

/** By name in lower case. */
const PROTOCOLS: Readonly<Record<string, FlowTest>> = {
  icmp: ({ l4 }) => (l4?.ICMPv4 ?? l4?.ICMPv6) !== undefined,
  icmpv4: ({ l4 }) => l4?.ICMPv4 !== undefined,
  icmpv6: ({ l4 }) => l4?.ICMPv6 !== undefined,
  tcp: ({ l4 }) => l4?.TCP !== undefined,
  udp: ({ l4 }) => l4?.UDP !== undefined,
  sctp: ({ l4 }) => l4?.SCTP !== undefined,
  dns: ({ l7 }) => l7?.dns !== undefined,
  http: ({ l7 }) => l7?.http !== undefined,
  kafka: ({ l7 }) => l7?.kafka !== undefined,
};

function protocolTest(values: readonly string[]): FlowTest {
  const tests = values.map((value) => {
    const name = value.toLowerCase();
    if (!Object.hasOwn(PROTOCOLS, name)) {
      throw new FilterError(`"${value}" is no protocol of ${Object.keys(PROTOCOLS).join(", ")}`);
    }
    return PROTOCOLS[name]!;
  });
  return (flow) => tests.some((passes) => passes(flow));
}

function hasFlags(flags: TcpFlagsMessage, wanted: TcpFlagsMessage): boolean {
  return Object.entries(wanted).every(([name, on]) => !on || flags[name as keyof TcpFlagsMessage]);
}

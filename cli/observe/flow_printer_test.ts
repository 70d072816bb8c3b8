import { assertEquals } from "@std/assert";
import type { FlowMessage, GetFlowsResponse } from "../../agent/hubble/flow_message.ts";
import { messageType } from "../../agent/hubble/messages.ts";
import { FlowPrinter, type FlowPrinterOptions } from "./flow_printer.ts";

const FLOW: FlowMessage = {
  time: { seconds: 1_700_000_000, nanos: 5_000_000 },
  uuid: "u1",
  verdict: 1,
  IP: { source: "10.0.0.1", destination: "fd00::2", ipVersion: 1 },
  l4: { TCP: { source_port: 40_000, destination_port: 80 } },
  source: { identity: 1001, namespace: "demo", pod_name: "web", ID: 7 },
  destination: { identity: 2, labels: ["reserved:world"] },
  node_name: "default/node-a",
  event_type: { type: 4, sub_type: 5 },
  is_reply: { value: false },
  Summary: "TCP Flags: SYN",
};

const DROP: FlowMessage = {
  ...FLOW,
  verdict: 2,
  drop_reason: 133,
  event_type: { type: 1, sub_type: 133 },
  egress_denied_by: [{ name: "p", kind: "NetworkPolicy" }],
  policy_log: ["denied by \x1b[31mNetworkPolicy demo/p"],
};
delete DROP.is_reply;

/** What is printed and told. */
function printed(
  responses: readonly GetFlowsResponse[],
  options: Partial<FlowPrinterOptions> = {},
): { lines: string[]; told: string[] } {
  const lines: string[] = [], told: string[] = [];
  const printer = new FlowPrinter({
    ...{ format: "compact", follow: false, numeric: false, nodeName: false, policyNames: false },
    ...{ why: false, fullTime: false, print: (line) => lines.push(line) },
    ...{ tell: (line) => told.push(line), ...options },
  });
  for (const response of responses) printer.write(response);
  printer.end();
  return { lines: lines.flatMap((line) => line.split("\n")), told };
}

const ONE: GetFlowsResponse[] = [{ flow: FLOW }], DROPPED: GetFlowsResponse[] = [{ flow: DROP }];

for (
  const [what, responses, options, wanted] of [
    ["a trace", ONE, {}, [
      "Nov 14 22:13:20.005: demo/web:40000 (ID:1001) -> [fd00::2]:80 (world) from-endpoint " +
      "FORWARDED (TCP Flags: SYN)",
    ]],
    ["an answer", [{ flow: { ...FLOW, is_reply: { value: true } } }], {}, [
      "Nov 14 22:13:20.005: [fd00::2]:80 (world) <- demo/web:40000 (ID:1001) from-endpoint " +
      "FORWARDED (TCP Flags: SYN)",
    ]],
    ["numbers", ONE, { numeric: true, nodeName: true, fullTime: true }, [
      "2023-11-14T22:13:20.005Z [default/node-a]: 10.0.0.1:40000 (ID:1001) -> [fd00::2]:80 " +
      "(world) from-endpoint FORWARDED (TCP Flags: SYN)",
    ]],
    ["a drop and why", DROPPED, { why: true, policyNames: true }, [
      "Nov 14 22:13:20.005: demo/web:40000 (ID:1001) <> [fd00::2]:80 (world) Policy denied " +
      "DROPPED BY p (NetworkPolicy) (TCP Flags: SYN)",
      "  rule: denied by \\x1b[31mNetworkPolicy demo/p",
      "  more: pilus policy get 7",
    ]],
    ["a dictionary", [...ONE, ...ONE], { format: "dict" }, [
      ...[
        "  TIMESTAMP: Nov 14 22:13:20.005",
        "     SOURCE: demo/web:40000",
        "DESTINATION: [fd00::2]:80",
        "       TYPE: from-endpoint",
        "    VERDICT: FORWARDED",
        "    SUMMARY: TCP Flags: SYN",
        "------------",
      ],
      ...[
        "  TIMESTAMP: Nov 14 22:13:20.005",
        "     SOURCE: demo/web:40000",
        "DESTINATION: [fd00::2]:80",
        "       TYPE: from-endpoint",
        "    VERDICT: FORWARDED",
        "    SUMMARY: TCP Flags: SYN",
      ],
    ]],
    ["a table", ONE, { format: "table" }, [
      "TIMESTAMP             SOURCE           DESTINATION    TYPE            VERDICT     SUMMARY",
      "Nov 14 22:13:20.005   demo/web:40000   [fd00::2]:80   from-endpoint   FORWARDED   TCP Flags: SYN",
    ]],
  ] satisfies [string, GetFlowsResponse[], Partial<FlowPrinterOptions>, string[]][]
) {
  Deno.test(`FlowPrinter prints ${what}`, () => {
    assertEquals(printed(responses, options), { lines: wanted, told: [] });
  });
}

Deno.test("FlowPrinter prints JSON as protobuf has it", () => {
  const type = messageType("observer.GetFlowsResponse");
  const response = { flow: FLOW, node_name: "n", time: FLOW.time! };
  const { lines: [line] } = printed([response], { format: "json" });
  assertEquals(JSON.parse(line!), {
    node_name: "n",
    time: "2023-11-14T22:13:20.005Z",
    flow: {
      ...FLOW,
      time: "2023-11-14T22:13:20.005Z",
      verdict: "FORWARDED",
      IP: { ...FLOW.IP, ipVersion: "IPv4" },
      is_reply: false,
    },
  });
  assertEquals(type.verify(response), null);
});

Deno.test("FlowPrinter tells of losses and of nodes, and no text breaks out of its line", () => {
  const { lines, told } = printed([
    { lost_events: { source: 3, num_events_lost: 5 } },
    { node_status: { state_change: 2, node_names: ["a", "b\x1b"] }, node_name: "relay" },
  ]);
  assertEquals(lines, []);
  assertEquals(told, [
    "EVENTS LOST: HUBBLE_RING_BUFFER 5: flows came faster than they were read; filter more narrowly",
    "N/A [relay]: unavailable: a, b\\x1b",
  ]);
});

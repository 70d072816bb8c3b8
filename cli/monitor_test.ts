import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { setColorEnabled, stripAnsiCode } from "@std/fmt/colors";
import type { AgentEventView } from "../agent/api/views.ts";
import { type OptionValues, UsageError } from "./command.ts";
import { formatFlow, monitorQuery } from "./monitor.ts";
import { allowed, drop, trace } from "./testdata/views.ts";

Deno.test("formatFlow() tells of a drop who, why, by which rule and how to look further", () => {
  setColorEnabled(true);
  const text = stripAnsiCode(formatFlow(drop));
  assertEquals(
    text,
    "05:28:20.770 DROP  [fd60:2::3]:45928 (demo/guest) -> [fd60:1::2]:8080 (demo/web-a) " +
      "TCP SYN Policy denied at ingress 94 B from-overlay\n" +
      "             rule  no rule allows it\n" +
      "             more  pilus policy get 4\n",
  );
});

Deno.test("formatFlow() tells of a verdict the rule, of a trace one line", () => {
  assertEquals(
    stripAnsiCode(formatFlow(allowed)),
    "05:28:21.001 ALLOW 10.60.1.3:40000 (demo/client) -> 10.60.1.2:8080 (demo/web-a) " +
      "TCP SYN new at ingress 74 B from-pod\n" +
      "             rule  NetworkPolicy demo/web ingress rule 1\n",
  );
  assertEquals(
    stripAnsiCode(formatFlow(trace)),
    "05:28:21.002 TRACE 10.60.1.3 (demo/client) -> 203.0.113.1 (world-ipv4) " +
      "ICMP type 8 established 98 B to-stack\n",
  );
});

Deno.test("formatFlow() says where to look when the flow does", () => {
  const { rule: _, direction: __, ...rest } = drop;
  const text = formatFlow({ ...rest, more: "pilus service list" });
  assertStringIncludes(stripAnsiCode(text), "more  pilus service list\n");
});

Deno.test("formatFlow() names an end without pod by its labels, else by its identity", () => {
  const world = { ip: "203.0.113.1", identity: 9, labels: ["reserved:world-ipv4"] };
  assertStringIncludes(stripAnsiCode(formatFlow({ ...drop, source: world })), "(world-ipv4)");
  const { labels: _, ...unknown } = world;
  assertStringIncludes(stripAnsiCode(formatFlow({ ...drop, source: unknown })), "(identity 9)");
});

for (
  const [options, query] of [
    [{ type: [], follow: true }, "follow=true"],
    [{ last: 3 }, "last=3"],
    [
      { drops: true, type: [], "from-pod": "demo/guest", last: 20 },
      "from-pod=demo%2Fguest&last=20&type=drop",
    ],
    [{ type: ["drop", "trace"], count: 3 }, "type=drop%2Ctrace&limit=3"],
    [
      { protocol: "tcp", verdict: "dropped", identity: 301, port: 80 },
      "verdict=dropped&protocol=tcp&port=80&identity=301",
    ],
    [
      { "to-ip": "FD60:1:0::0002", since: "5m", follow: false },
      "to-ip=FD60%3A1%3A0%3A%3A0002&since=5m&follow=false",
    ],
  ] as const
) {
  Deno.test(`monitorQuery() asks the agent for ${query}`, () => {
    assertEquals(monitorQuery(options as unknown as OptionValues).toString(), query);
  });
}

for (
  const [options, message] of [
    [{ pod: "web" }, "--pod takes NAMESPACE/POD, not `web`"],
    [{ "to-ip": "10.0.0" }, "--to-ip takes an IP address, not `10.0.0`"],
    [{ protocol: "tpc" }, "--protocol takes TCP, UDP, SCTP"],
    [{ since: "soon" }, "--since takes how long ago"],
    [{ drops: true, type: ["trace"] }, "--drops is --type drop, and not --type trace"],
  ] as const
) {
  Deno.test(`monitorQuery() refuses ${JSON.stringify(options)}, which the agent would refuse`, () => {
    assertThrows(() => monitorQuery(options), UsageError, message);
  });
}

Deno.test("formatFlow() shows an event of the agent in one line", () => {
  const event = { time: drop.time, type: "agent", event: "endpoint-created", text: "endpoint 4" };
  assertEquals(
    stripAnsiCode(formatFlow(event as AgentEventView)),
    "05:28:20.770 AGENT endpoint-created: endpoint 4\n",
  );
});

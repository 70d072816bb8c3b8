import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { setColorEnabled, stripAnsiCode } from "@std/fmt/colors";
import { UsageError } from "./command.ts";
import { flowFilter, formatFlow } from "./monitor.ts";
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
  const [options, matches] of [
    [{}, true],
    [{ pod: "demo/guest" }, true],
    [{ pod: "demo/other" }, false],
    [{ "from-pod": "demo/guest", "to-pod": "demo/web-a" }, true],
    [{ "from-pod": "demo/web-a" }, false],
    [{ ip: "fd60:1::2", port: 8080 }, true],
    [{ ip: "FD60:1:0::0002" }, true],
    [{ "from-ip": "fd60:1::2" }, false],
    [{ protocol: "tcp", verdict: "dropped", identity: 301 }, true],
    [{ protocol: "udp" }, false],
    [{ verdict: "forwarded" }, false],
  ] as const
) {
  Deno.test(`flowFilter() with ${JSON.stringify(options)} ${matches ? "takes" : "leaves"} the drop`, () => {
    assert(flowFilter(options)(drop) === matches);
  });
}

for (
  const [options, message] of [
    [{ pod: "web" }, "--pod takes NAMESPACE/POD, not `web`"],
    [{ "to-ip": "10.0.0" }, "--to-ip takes an IP address, not `10.0.0`"],
  ] as const
) {
  Deno.test(`flowFilter() refuses ${JSON.stringify(options)}, which could match nothing`, () => {
    assertThrows(() => flowFilter(options), UsageError, message);
  });
}

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { setColorEnabled, stripAnsiCode } from "@std/fmt/colors";
import type { FlowView } from "../agent/api/views.ts";
import { flowFilter, formatFlow } from "./monitor.ts";

const drop: FlowView = {
  time: "2026-11-23T05:28:20.770000000Z",
  type: "drop",
  verdict: "dropped",
  reason: "Policy denied",
  reasonCode: 133,
  point: "from-overlay",
  status: "new",
  direction: "ingress",
  endpoint: 4,
  interface: "pilus_vxlan",
  protocol: "TCP",
  source: { ip: "fd60:2::3", port: 45928, identity: 300, pod: "demo/guest" },
  destination: { ip: "fd60:1::2", port: 8080, identity: 301, pod: "demo/web-a" },
  tcpFlags: "SYN",
  length: 94,
  rule: { cookie: 7, text: "no rule allows it" },
};

Deno.test("formatFlow() tells of a drop who, why, by which rule and how to look further", () => {
  setColorEnabled(true);
  const text = stripAnsiCode(formatFlow(drop));
  assertEquals(
    text,
    "05:28:20.770 DROP   [fd60:2::3]:45928 (demo/guest) -> [fd60:1::2]:8080 (demo/web-a) " +
      "TCP SYN Policy denied at ingress 94 B from-overlay\n" +
      "             rule   no rule allows it; look further with: pilus policy get 4\n",
  );
});

Deno.test("formatFlow() names an end without pod by its labels, else by its identity", () => {
  const world = { ip: "203.0.113.1", identity: 9, labels: ["reserved:world-ipv4"] };
  assertStringIncludes(stripAnsiCode(formatFlow({ ...drop, source: world })), "(world-ipv4)");
  const { labels: _, ...unknown } = world;
  assertStringIncludes(stripAnsiCode(formatFlow({ ...drop, source: unknown })), "(9)");
});

for (
  const [options, matches] of [
    [{}, true],
    [{ pod: "demo/guest" }, true],
    [{ pod: "demo/other" }, false],
    [{ "from-pod": "demo/guest", "to-pod": "demo/web-a" }, true],
    [{ "from-pod": "demo/web-a" }, false],
    [{ ip: "fd60:1::2", port: 8080 }, true],
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

import { assertEquals, assertThrows } from "@std/assert";
import { FlowType, PACKET_TYPES, Verdict } from "../flows/flow.ts";
import { NOT_IP } from "../flows/flow_filter.ts";
import { parseFlowQuery } from "./flow_query.ts";
import { ApiError } from "./server.ts";

const NOW = Date.UTC(2026, 0, 1, 12);

for (
  const [text, wanted] of [
    ["", { filter: { types: PACKET_TYPES }, follow: true }],
    ["type=drop,agent", { filter: { types: [FlowType.DROP, FlowType.AGENT] }, follow: true }],
    ["type=drop&verdict=dropped&protocol=tcp,58,non-ip", {
      filter: {
        types: [FlowType.DROP],
        verdicts: [Verdict.DROPPED],
        protocols: [6, 58, NOT_IP],
      },
      follow: true,
    }],
    ["type=trace&pod=demo/web&from-ip=FD60::0:1&to-port=80,443&identity=7", {
      filter: {
        types: [FlowType.TRACE],
        either: { pods: ["demo/web"], identities: [7] },
        from: { ips: ["fd60::1"] },
        to: { ports: [80, 443] },
      },
      follow: true,
    }],
    ["last=20&limit=5&follow=false", {
      filter: { types: PACKET_TYPES },
      last: 20,
      limit: 5,
      follow: false,
    }],
    ["follow=false", { filter: { types: PACKET_TYPES }, since: 0, follow: false }],
    ["since=90s", { filter: { types: PACKET_TYPES }, since: NOW - 90_000, follow: false }],
    ["last=3", { filter: { types: PACKET_TYPES }, last: 3, follow: false }],
    ["last=3&follow=true", { filter: { types: PACKET_TYPES }, last: 3, follow: true }],
    ["since=1.5h", { filter: { types: PACKET_TYPES }, since: NOW - 5_400_000, follow: false }],
    ["since=2026-01-01T11:00:00%2B01:00", {
      filter: { types: PACKET_TYPES },
      since: Date.UTC(2026, 0, 1, 10),
      follow: false,
    }],
  ] as const
) {
  Deno.test(`parseFlowQuery() reads "${text}"`, () => {
    assertEquals(parseFlowQuery(new URLSearchParams(text), NOW) as unknown, wanted);
  });
}

for (
  const [text, message] of [
    ["type=dorp", "type takes drop, trace, verdict, agent, not `dorp`"],
    ["type=", "type takes drop, trace, verdict, agent, not ``"],
    ["verdict=denied", "verdict takes forwarded, dropped, not `denied`"],
    ["protocol=constructor", "protocol takes TCP, UDP, SCTP, ICMP, ICMPv6 or a number"],
    ["protocol=256", "not `256`"],
    ["pod=web", "pod takes NAMESPACE/POD, not `web`"],
    ["from-pod=a/b/c", "from-pod takes NAMESPACE/POD, not `a/b/c`"],
    ["to-ip=10.0.0", "to-ip takes an IP address, not `10.0.0`"],
    ["port=70000", "port takes a whole number from 0 to 65535, not `70000`"],
    ["port=-5", "not `-5`"],
    ["identity=1e3", "not `1e3`"],
    ["limit=-5", "limit takes a whole number from 1 on, not `-5`"],
    ["limit=abc", "limit takes a whole number from 1 on, not `abc`"],
    ["last=0", "last takes a whole number from 1 on, not `0`"],
    ["last=1&last=2", "last is given more than once"],
    ["since=yesterday", "since takes how long ago (90s, 5m, 2h) or a time"],
    ["since=2026-13-01T00:00:00Z", "since takes"],
    ["follow=no", "follow takes true or false, not `no`"],
    ["tpye=drop", "tpye is no filter: there are type, verdict, protocol, pod, ip,"],
  ] as const
) {
  Deno.test(`parseFlowQuery() refuses "${text}"`, () => {
    assertThrows(() => parseFlowQuery(new URLSearchParams(text)), ApiError, message);
  });
}

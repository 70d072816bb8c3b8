import { assert, assertEquals } from "@std/assert";
import {
  ConnectionStatus,
  DropReason,
  type Event,
  event as eventCodec,
  EventType,
  ObservationPoint,
} from "../../../datapath/maps/generated.ts";
import { parseIp } from "../../../datapath/net/ip.ts";
import { AgentEvent, type AgentFlow, FlowType } from "../../flows/flow.ts";
import { AddressTexts } from "./address_texts.ts";
import { EventClock } from "./event_clock.ts";
import { EventFormat } from "./event_format.ts";
import { type FlowNames, FlowViews } from "./flow_view.ts";
import { TimeTexts } from "./time_texts.ts";

const NAMES: FlowNames = {
  labels: (identity) => identity === 301 ? ["k8s:app=web"] : undefined,
  pod: (ip) => ip === "10.60.1.2" ? "demo/web" : undefined,
  interface: (ifindex) => `eth${ifindex}`,
  rule: (cookie) => cookie === 7 ? "NetworkPolicy demo/web ingress rule 1" : undefined,
};

const EVENT: Event = {
  header: { time: 5_000_000_001n, cpu: 1, type: EventType.TRACE },
  length: 94,
  ifindex: 3,
  sourceIdentity: 9,
  destinationIdentity: 301,
  cookie: 0,
  endpoint: 4,
  point: ObservationPoint.FROM_NETWORK,
  reason: 0,
  status: ConnectionStatus.NEW,
  direction: 0,
  source: parseIp("203.0.113.1"),
  destination: parseIp("10.60.1.2"),
  sourcePort: 45928,
  destinationPort: 8080,
  protocol: 6,
  family: 4,
  tcpFlags: 0x12,
  icmpType: 0,
};

const FLOW = {
  time: "2026-01-01T00:00:04.900000001Z",
  type: "trace",
  verdict: "forwarded",
  point: "from-network",
  status: "new",
  interface: "eth3",
  protocol: "TCP",
  source: { ip: "203.0.113.1", identity: 9, port: 45928 },
  destination: {
    ip: "10.60.1.2",
    identity: 301,
    port: 8080,
    pod: "demo/web",
    labels: ["k8s:app=web"],
  },
  length: 94,
  endpoint: 4,
  tcpFlags: "SYN,ACK",
};

const { tcpFlags: _, ...OTHER } = FLOW;
const { port: _source, ...SOURCE } = FLOW.source;
const { port: _destination, ...DESTINATION } = FLOW.destination;

for (
  const [what, event, flow] of [
    ["a trace without a rule", {}, FLOW],
    ["a verdict with its rule", {
      header: { ...EVENT.header, type: EventType.VERDICT },
      cookie: 7,
      direction: 1,
    }, {
      ...FLOW,
      type: "verdict",
      direction: "egress",
      rule: { cookie: 7, text: "NetworkPolicy demo/web ingress rule 1" },
    }],
    [
      "a drop by a rule that is gone",
      {
        header: { ...EVENT.header, type: EventType.DROP },
        reason: DropReason.POLICY_DENIED,
        cookie: 8,
      },
      {
        ...FLOW,
        type: "drop",
        verdict: "dropped",
        reason: "Policy denied by a deny rule",
        reasonCode: DropReason.POLICY_DENIED,
        more: "pilus policy get 4",
        direction: "ingress",
        rule: { cookie: 8, text: "cookie 8" },
      },
    ],
    ["ICMP, which has a type and no ports", { protocol: 1, icmpType: 8 }, {
      ...OTHER,
      protocol: "ICMP",
      source: SOURCE,
      destination: DESTINATION,
      icmpType: 8,
    }],
    [
      "what is no IP",
      { protocol: 0, family: 0, endpoint: 0 },
      (() => {
        const { endpoint: _, ...rest } = OTHER;
        return { ...rest, protocol: "non-IP", source: SOURCE, destination: DESTINATION };
      })(),
    ],
  ] as const
) {
  Deno.test(`EventFormat.decode() and FlowViews.toView() show ${what}`, () => {
    const clock = new EventClock();
    clock.sync(BigInt(Date.UTC(2025, 11, 31, 23, 59, 59, 900)) * 1_000_000n);
    const view = new DataView(new ArrayBuffer(eventCodec.size + 8));
    eventCodec.encode(view, 8, { ...EVENT, ...event });
    const format = new EventFormat({ node: "node-a", clock, podOf: NAMES.pod });
    const decoded = format.decode(view, 8);
    assertEquals(new FlowViews(NAMES).toView(decoded) as unknown, flow);
    assertEquals(format.time(view, 8), Date.UTC(2026, 0, 1, 0, 0, 4, 900) + 1e-6);
    assert(format.size <= eventCodec.size);
  });
}

Deno.test("FlowViews.toView() shows an event of the agent", () => {
  const flow: AgentFlow = {
    kind: "agent",
    type: FlowType.AGENT,
    seconds: 1_767_225_600,
    nanoseconds: 1,
    node: "node-a",
    event: AgentEvent.ENDPOINT_CREATED,
    text: "endpoint 4 of demo/web",
  };
  assertEquals(new FlowViews(NAMES).toView(flow), {
    time: "2026-01-01T00:00:00.000000001Z",
    type: "agent",
    event: "endpoint-created",
    text: "endpoint 4 of demo/web",
  });
});

Deno.test("EventClock.read() is right to the nanosecond, over years of uptime", () => {
  const view = new DataView(new ArrayBuffer(8));
  const clock = new EventClock(), times = new TimeTexts();
  const start = 1_700_000_000_987_654_321n;
  clock.sync(start);
  for (const time of [0n, 12_345_678n, 12_345_679n, 1n << 32n, (1n << 56n) + 3n, 999_999_999n]) {
    view.setBigUint64(0, time, true);
    const ns = start + time;
    const whole = new Date(Number(ns / 1_000_000n)).toISOString().slice(0, -1);
    clock.read(view, 0);
    assertEquals(
      times.text(clock.seconds, clock.nanoseconds),
      `${whole}${String(ns % 1_000_000n).padStart(6, "0")}Z`,
    );
  }
});

Deno.test("AddressTexts.text() confuses no two of more addresses than it keeps", () => {
  const texts = new AddressTexts();
  const view = new DataView(new ArrayBuffer(16));
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 20_000; i++) {
      const text = i % 2
        ? `10.${i >> 16}.${i >> 8 & 255}.${i & 255}`
        : `fd60::${(i + 1).toString(16)}:1`;
      new Uint8Array(view.buffer).set(parseIp(text));
      assertEquals(texts.text(view, 0), text);
    }
  }
});

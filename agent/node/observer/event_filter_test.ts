import { assertEquals } from "@std/assert";
import {
  DropReason,
  type Event,
  event as eventCodec,
  EventType,
} from "../../../datapath/maps/generated.ts";
import { parseIp } from "../../../datapath/net/ip.ts";
import { type FlowFilter, flowFilter, NOT_IP } from "../../flows/flow_filter.ts";
import { parseFlowQuery } from "../../api/flow_query.ts";
import { EventClock } from "./event_clock.ts";
import { EventFormat } from "./event_format.ts";

const PODS: Record<string, string> = { "10.60.1.2": "demo/web", "fd60:1::3": "demo/client" };
const podOf = (ip: string) => PODS[ip];
const format = new EventFormat({ node: "node-a", clock: new EventClock(), podOf });

const header = (type: number) => ({ time: 1n, cpu: 0, type });

const EVENT: Event = {
  header: header(EventType.DROP),
  length: 94,
  ifindex: 3,
  sourceIdentity: 300,
  destinationIdentity: 301,
  cookie: 0,
  endpoint: 4,
  point: 1,
  reason: DropReason.POLICY_DENIED,
  status: 1,
  direction: 0,
  source: parseIp("fd60:1::3"),
  destination: parseIp("10.60.1.2"),
  sourcePort: 45928,
  destinationPort: 8080,
  protocol: 6,
  family: 4,
  tcpFlags: 2,
  icmpType: 0,
};

/** What both filters say of an event: they must agree. */
function passes(filter: FlowFilter, event: Event): boolean {
  const view = new DataView(new ArrayBuffer(eventCodec.size));
  eventCodec.encode(view, 0, event);
  const raw = format.filter(filter)(view, 0);
  const decoded = flowFilter(filter, podOf)(format.decode(view, 0));
  assertEquals(raw, decoded, `${JSON.stringify(filter)} of ${Deno.inspect(event)}`);
  return raw;
}

for (
  const [query, event, wanted] of [
    ["", {}, true],
    ["type=drop", {}, true],
    ["type=trace,verdict", {}, false],
    ["type=agent", {}, false],
    ["verdict=dropped", {}, true],
    ["verdict=forwarded", {}, false],
    ["verdict=forwarded", { header: header(EventType.VERDICT) }, true],
    ["protocol=tcp", {}, true],
    ["protocol=udp,TCP", {}, true],
    ["protocol=icmp", {}, false],
    ["protocol=47", { protocol: 47 }, true],
    ["protocol=tcp", { family: 0 }, false],
    ["protocol=non-ip", { family: 0 }, true],
    ["port=8080", {}, true],
    ["port=45928", {}, true],
    ["from-port=8080", {}, false],
    ["to-port=8080", {}, true],
    ["port=8080", { protocol: 1 }, false],
    ["port=0", { protocol: 1 }, false],
    ["ip=10.60.1.2", {}, true],
    ["ip=FD60:1:0::0003", {}, true],
    ["from-ip=10.60.1.2", {}, false],
    ["to-ip=10.60.1.2,10.60.1.3", {}, true],
    ["ip=10.60.1.9", {}, false],
    ["identity=300", {}, true],
    ["from-identity=301", {}, false],
    ["to-identity=301", {}, true],
    ["pod=demo/web", {}, true],
    ["pod=demo/other", {}, false],
    ["from-pod=demo/client&to-pod=demo/web", {}, true],
    ["from-pod=demo/web", {}, false],
    ["pod=demo/client&port=8080", {}, true],
    ["pod=demo/client&port=81", {}, false],
    ["pod=demo/web", { destination: parseIp("10.60.1.8") }, false],
  ] as const
) {
  Deno.test(`the filter "${query}" ${wanted ? "passes" : "stops"} ${Deno.inspect(event)}`, () => {
    const { filter } = parseFlowQuery(new URLSearchParams(query));
    assertEquals(passes(filter, { ...EVENT, ...event }), wanted);
  });
}

/** xorshift32. */
function randomness(seed: number) {
  return (below: number) => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % below;
  };
}

Deno.test("a filter on bytes and one on flows agree on 10,000 random events", () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]! | 1;
  console.log(`seed ${seed}`);
  const random = randomness(seed);
  const of = <T>(values: readonly T[]) => values[random(values.length)]!;
  const ips = ["10.60.1.2", "10.60.1.3", "fd60:1::3", "fd60:1::4", "::"];
  const pods = ["demo/web", "demo/client", "demo/other"];
  const ports = [0, 53, 8080], identities = [0, 9, 300], protocols = [0, 1, 6, 17, 58, 132, 255];
  const some = <T>(values: readonly T[]) => [of(values), of(values)].slice(random(2));
  const maybe = <K extends string, T>(name: K, values: readonly T[]) =>
    random(4) === 0 ? { [name]: some(values) } as { [n in K]: T[] } : {};
  const end = () => ({
    ...maybe("pods", pods),
    ...maybe("ips", ips),
    ...maybe("ports", ports),
    ...maybe("identities", identities),
  });
  let passed = 0;
  for (let i = 0; i < 10_000; i++) {
    const event = {
      ...EVENT,
      header: header(of(Object.values(EventType))),
      source: parseIp(of(ips)),
      destination: parseIp(of(ips)),
      sourcePort: of(ports),
      destinationPort: of(ports),
      sourceIdentity: of(identities),
      destinationIdentity: of(identities),
      protocol: of(protocols),
      family: of([0, 4, 6]),
    };
    const filter: FlowFilter = {
      ...maybe("types", Object.values(EventType)),
      ...maybe("verdicts", [1, 2]),
      ...maybe("protocols", [...protocols, NOT_IP]),
      ...(random(2) ? { either: end() } : {}),
      ...(random(2) ? { from: end() } : {}),
      ...(random(2) ? { to: end() } : {}),
    };
    if (passes(filter, event)) passed++;
  }
  assertEquals(passed > 500 && passed < 9500, true, `${passed} passed`);
});

import { assertEquals, assertThrows } from "@std/assert";
import { AgentEvent, type Flow, FlowType, Verdict } from "./flow.ts";
import type { CursorOptions, FlowCursor } from "./flow_cursor.ts";
import { flowFilter } from "./flow_filter.ts";
import { FlowRing } from "./flow_ring.ts";
import type { RecordFormat } from "./record_format.ts";

const { DROP, VERDICT, AGENT } = FlowType;
const never = new AbortController().signal;
const podOf = () => undefined;

/** Records of two words: the type, and a number that is both the time in seconds and a port. */
const FORMAT: RecordFormat = {
  size: 8,
  types: [DROP, VERDICT],
  decode: (view, offset) => packet(view.getInt32(offset, true), view.getInt32(offset + 4, true)),
  time: (view, offset) => view.getInt32(offset + 4, true) * 1000,
  filter: (filter) => {
    const passes = flowFilter(filter, podOf);
    return (view, offset) => passes(FORMAT.decode(view, offset));
  },
};

function packet(type: number, number: number): Flow {
  return {
    kind: "packet",
    type,
    seconds: number,
    nanoseconds: 0,
    node: "node-a",
    verdict: type === DROP ? Verdict.DROPPED : Verdict.FORWARDED,
    reason: 0,
    point: 1,
    status: 1,
    direction: 0,
    cookie: 0,
    endpoint: 0,
    ifindex: 1,
    family: 4,
    protocol: 6,
    source: { ip: "10.0.0.1", identity: 1, port: number },
    destination: { ip: "10.0.0.2", identity: 2, port: 80 },
    tcpFlags: 0,
    icmpType: 0,
    length: 60,
  };
}

function ringOf(capacity: number): FlowRing {
  return new FlowRing({ format: FORMAT, podOf, capacity, made: new Map([[AGENT, 1024]]) });
}

function push(ring: FlowRing, type: number, ...numbers: number[]): void {
  for (const number of numbers) {
    if (type === AGENT) {
      ring.push({
        kind: "agent",
        type,
        seconds: number,
        nanoseconds: 0,
        node: "node-a",
        event: AgentEvent.EVENTS_LOST,
        text: "",
      });
      continue;
    }
    const view = new DataView(new ArrayBuffer(12));
    view.setInt32(4, type, true);
    view.setInt32(8, number, true);
    ring.pushRecord(type, view, 4);
  }
  ring.notify();
}

async function take(cursor: FlowCursor, most?: number): Promise<number[]> {
  return (await cursor.take(never, most)).map(({ seconds }) => seconds);
}

const options = (more: Partial<CursorOptions> = {}): CursorOptions => ({
  consumer: "test",
  ...more,
});

Deno.test("a cursor gets flows of all types in the order in which they came", async () => {
  const ring = ringOf(8);
  push(ring, DROP, 1); // before it
  using cursor = ring.cursor(options());
  const first = take(cursor);
  push(ring, VERDICT, 2);
  assertEquals(await first, [2]);
  push(ring, DROP, 3);
  push(ring, VERDICT, 4, 5);
  push(ring, AGENT, 6);
  push(ring, DROP, 7);
  assertEquals(await take(cursor, 2), [3, 4]);
  assertEquals(await take(cursor), [5, 6, 7]);
});

Deno.test("a cursor that is slow misses the oldest of a type, and others miss none", async () => {
  const ring = ringOf(3); // rounded up to 4
  using slow = ring.cursor(options({ consumer: "slow" }));
  using drops = ring.cursor(options({ consumer: "drops", filter: { types: [DROP] } }));
  push(ring, DROP, 1);
  for (let i = 0; i < 10; i++) push(ring, VERDICT, 10 + i);
  assertEquals(await take(slow), [1, 16, 17, 18, 19]);
  assertEquals(await take(drops), [1]);
  assertEquals(slow.missed(), [{ type: VERDICT, count: 6 }]);
  assertEquals(ring.missed(), [{ consumer: "slow", type: VERDICT, count: 6 }]);
});

Deno.test("what a cursor missed counts after it is gone, untaken flows too", () => {
  const ring = ringOf(4);
  for (let round = 0; round < 2; round++) {
    using _cursor = ring.cursor(options({ consumer: "monitor" }));
    push(ring, DROP, 1, 2, 3, 4, 5);
  }
  assertEquals(ring.missed(), [{ consumer: "monitor", type: DROP, count: 2 }]);
  assertEquals(ring.seen(), [
    { type: DROP, count: 10 },
    { type: VERDICT, count: 0 },
    { type: AGENT, count: 0 },
  ]);
});

Deno.test("a cursor that waits looks at all that comes: it misses nothing in a flood of others", async () => {
  const ring = ringOf(4);
  using cursor = ring.cursor(options({ filter: { from: { ports: [50] } } }));
  const taken = take(cursor);
  for (let i = 0; i <= 50; i++) push(ring, VERDICT, i);
  assertEquals([await taken, cursor.missed()], [[50], []]);
});

Deno.test("a cursor waits on when what ended its wait is overwritten", async () => {
  const ring = ringOf(4);
  using cursor = ring.cursor(options({ filter: { from: { ports: [50] } } }));
  const taken = take(cursor);
  for (let i = 50; i < 100; i++) push(ring, VERDICT, i);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  push(ring, VERDICT, 50);
  assertEquals([await taken, cursor.missed()], [[50], [{ type: VERDICT, count: 1 }]]);
});

for (
  const [text, more, wanted] of [
    ["the last two", { last: 2 }, [7, 8]],
    ["the last two drops", { last: 2, filter: { types: [DROP] } }, [1, 8]],
    ["more than there are", { last: 100 }, [1, 3, 4, 5, 6, 7, 8]],
    ["those since a time", { since: 5000 }, [5, 6, 7, 8]],
    ["the last one since a time", { since: 5000, last: 1 }, [8]],
    ["none that is since later", { since: 9000 }, []],
  ] as const
) {
  Deno.test(`a cursor begins with ${text}, and without follow ends with them`, async () => {
    const ring = ringOf(4);
    push(ring, DROP, 1);
    push(ring, VERDICT, 2, 3, 4, 5, 6);
    push(ring, AGENT, 7);
    push(ring, DROP, 8);
    using ending = ring.cursor(options({ ...more, follow: false } as Partial<CursorOptions>));
    using cursor = ring.cursor(options(more as Partial<CursorOptions>));
    push(ring, DROP, 9);
    assertEquals(await take(ending), [...wanted]);
    assertEquals(await take(ending), []);
    assertEquals(await take(cursor), [...wanted, 9]);
  });
}

Deno.test("FlowRing.push() keeps of each type of made flows its own number", async () => {
  const other = 200;
  const ring = new FlowRing({
    format: FORMAT,
    podOf,
    capacity: 4,
    made: new Map([[AGENT, 2], [other, 3]]), // 3: rounded up to 4
  });
  using cursor = ring.cursor(options());
  push(ring, DROP, 1);
  for (let i = 10; i < 16; i++) ring.push(packet(other, i));
  push(ring, AGENT, 20, 21, 22);
  push(ring, DROP, 30);
  assertEquals(await take(cursor), [1, 12, 13, 14, 15, 21, 22, 30]);
  assertEquals(ring.missed(), [
    { consumer: "test", type: AGENT, count: 1 },
    { consumer: "test", type: other, count: 2 },
  ]);
  using others = ring.cursor(options({ filter: { types: [other] }, last: 2, follow: false }));
  assertEquals(await take(others), [14, 15]);
});

Deno.test("FlowRing takes no made flow of a type that records have, or that it was not made for", () => {
  const ring = ringOf(4);
  assertThrows(() => ring.push(packet(DROP, 1)), RangeError, "Flows of type 1 are not made");
  assertThrows(
    () => new FlowRing({ format: FORMAT, podOf, capacity: 4, made: new Map([[DROP, 4]]) }),
    RangeError,
    "Flows of type 1 are records",
  );
});

Deno.test("FlowCursor.take() ends without flows when its signal comes", async () => {
  const ring = ringOf(4);
  using cursor = ring.cursor(options());
  const stop = new AbortController();
  const taken = cursor.take(stop.signal);
  stop.abort();
  assertEquals(await taken, []);
  push(ring, DROP, 1);
  assertEquals(await cursor.take(stop.signal), []);
});

Deno.test("FlowCursor.rewind() goes back by flows that pass filter and test, and take() on from there", async () => {
  const ring = ringOf(4096);
  for (let i = 0; i < 4000; i++) push(ring, VERDICT, i);
  push(ring, DROP, 5000);
  const passes = (flow: Flow) => flow.seconds % 1500 === 0;
  for (
    const [last, since, wanted] of [
      [2, undefined, [1500, 3000]],
      [Infinity, undefined, [0, 1500, 3000]],
      [Infinity, 1000, [1500, 3000]],
    ] as const
  ) {
    using cursor = ring.cursor(
      options({ passes, filter: { types: [VERDICT, DROP] }, follow: false }),
    );
    await cursor.rewind(last, since && since * 1000);
    assertEquals(await take(cursor), [...wanted]);
    assertEquals([await take(cursor), cursor.missed()], [[], []]);
  }
});

Deno.test("FlowCursor.take() finds what passes behind thousands that do not, and waits after them", async () => {
  const ring = ringOf(16_384);
  using cursor = ring.cursor(options({ passes: (flow) => flow.seconds >= 9_999 }));
  for (let i = 0; i <= 9_999; i++) push(ring, VERDICT, i);
  assertEquals(await take(cursor), [9_999]);
  const taken = take(cursor);
  for (let i = 0; i < 5_000; i++) push(ring, VERDICT, i);
  push(ring, VERDICT, 10_000);
  assertEquals([await taken, cursor.missed()], [[10_000], []]);
});

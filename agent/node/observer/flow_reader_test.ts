import { assert, assertEquals } from "@std/assert";
import { EventType } from "../../../datapath/maps/generated.ts";
import { EventSource } from "../../../datapath/testdata/event_source.ts";
import type { FlowCursor } from "../../flows/flow_cursor.ts";
import type { Flow } from "../../flows/flow.ts";
import { FlowRing } from "../../flows/flow_ring.ts";
import { EventClock } from "./event_clock.ts";
import { EventFormat } from "./event_format.ts";
import { FlowReader } from "./flow_reader.ts";
import { LostEvents } from "./lost_events.ts";

const { DROP, TRACE, VERDICT } = EventType;
const never = new AbortController().signal;

interface Reading {
  reader: FlowReader;
  flows: FlowRing;
  lost: LostEvents;
  source: EventSource;
}

/** Runs `test` with a reader of the events that `source` sends. */
async function withReader(test: (reading: Reading) => Promise<void>): Promise<void> {
  using source = new EventSource();
  {
    const clock = new EventClock(), podOf = () => undefined;
    const flows = new FlowRing({
      format: new EventFormat({ node: "node-a", clock, podOf }),
      podOf,
      capacity: 65_536,
    });
    using reader = new FlowReader({ events: source.events, clock, flows });
    const lost = new LostEvents(source.lost, () => {});
    await test({ reader, flows, lost, source });
  }
  await delay(10); // until the thread that waits for the buffer has ended
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function seen({ reader, lost }: Reading, events: number): Promise<void> {
  const deadline = performance.now() + 5000;
  while (reader.seen + lost.total < events && performance.now() < deadline) await delay(5);
}

/** So many flows of a cursor. */
async function takeAll(cursor: FlowCursor, count: number): Promise<Flow[]> {
  const flows: Flow[] = [];
  while (flows.length < count) flows.push(...await cursor.take(never));
  return flows;
}

Deno.test("FlowReader counts every event as seen or lost when there are more than it has room for", async () => {
  await withReader(async (reading) => {
    const { reader, lost, source } = reading;
    const all = 300_000;
    for (let sent = 0; sent < all; sent += 100_000) {
      source.send(100_000, VERDICT); // twice what the buffer holds
      await delay(1);
    }
    await seen(reading, all);
    assertEquals(reader.seen + lost.total, all);
    assert(lost.total > 0);
    const before = lost.total;
    source.send(30_000, DROP);
    await seen(reading, all + 30_000);
    assertEquals([reader.seen + lost.total, lost.total], [all + 30_000, before]);
  });
});

Deno.test("a cursor gets the events of the types that it wants", async () => {
  await withReader(async (reading) => {
    const { flows, source } = reading;
    using drops = flows.cursor({ consumer: "drops", filter: { types: [DROP] } });
    using all = flows.cursor({ consumer: "all" });
    for (const type of [TRACE, DROP, VERDICT, DROP]) source.send(1, type);
    const types = async (cursor: FlowCursor, count: number) =>
      (await takeAll(cursor, count)).map(({ type }) => type);
    assertEquals(await types(all, 4), [TRACE, DROP, VERDICT, DROP]);
    assertEquals(await types(drops, 2), [DROP, DROP]);
  });
});

Deno.test("a cursor that is slow misses the oldest events, gets the others in order, and no drop is missed", async () => {
  await withReader(async (reading) => {
    const { flows, lost, source } = reading;
    using cursor = flows.cursor({ consumer: "slow" });
    const { capacity } = flows;
    source.send(10, DROP);
    await seen(reading, 10);
    for (let sent = 0; sent < 90_000; sent += 30_000) {
      source.send(30_000, VERDICT);
      await seen(reading, 10 + sent + 30_000);
    }
    assertEquals(lost.total, 0);
    const taken = await takeAll(cursor, 10 + capacity);
    assertEquals(taken.filter(({ type }) => type === DROP).length, 10);
    const ports = taken.slice(10).map((flow) => flow.kind === "packet" && flow.source.port);
    const first = Number(ports[0]);
    assertEquals(ports, Array.from({ length: capacity }, (_, i) => (first + i) % 65_536));
    const missed = [{ type: VERDICT, count: 90_000 - capacity }];
    assertEquals(cursor.missed(), missed);
    assertEquals(flows.missed(), missed.map((row) => ({ consumer: "slow", ...row })));
  });
});

Deno.test("what came before is there for a cursor that looks back", async () => {
  await withReader(async (reading) => {
    const { flows, source } = reading;
    source.send(5, TRACE);
    source.send(5, DROP);
    await seen(reading, 10);
    using cursor = flows.cursor({ consumer: "back", last: 7, follow: false });
    const taken = await cursor.take(never);
    assertEquals(taken.map(({ type }) => type), [TRACE, TRACE, DROP, DROP, DROP, DROP, DROP]);
    const age = Date.now() / 1000 - taken[0]!.seconds;
    assert(age >= 0 && age < 60, `${age} s`);
  });
});

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { EventType } from "../../../datapath/maps/generated.ts";
import { EventSource } from "../../../datapath/testdata/event_source.ts";
import type { FlowCursor } from "../../flows/flow_cursor.ts";
import { type Flow, FlowType } from "../../flows/flow.ts";
import { flowMetrics } from "./flow_metrics.ts";
import { FlowReader } from "./flow_reader.ts";

const { DROP, TRACE, VERDICT } = EventType;
const never = new AbortController().signal;

/** Runs `test` with a reader of the events that `source` sends. */
async function withReader(
  test: (reader: FlowReader, source: EventSource) => Promise<void>,
): Promise<void> {
  using source = new EventSource();
  {
    using reader = new FlowReader({
      events: source.events,
      lost: source.lost,
      node: "node-a",
      podOf: () => undefined,
      capacity: 65_536,
    });
    await test(reader, source);
  }
  await delay(10); // until the thread that waits for the buffer has ended
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function seen(reader: FlowReader, events: number): Promise<void> {
  const deadline = performance.now() + 5000;
  while (reader.seen + reader.lostTotal < events && performance.now() < deadline) await delay(5);
}

/** So many flows of a cursor. */
async function takeAll(cursor: FlowCursor, count: number): Promise<Flow[]> {
  const flows: Flow[] = [];
  while (flows.length < count) flows.push(...await cursor.take(never));
  return flows;
}

Deno.test("FlowReader counts every event as seen or lost when there are more than it has room for", async () => {
  await withReader(async (reader, source) => {
    const all = 300_000;
    for (let sent = 0; sent < all; sent += 100_000) {
      source.send(100_000, VERDICT); // twice what the buffer holds
      await delay(1);
    }
    await seen(reader, all);
    assertEquals(reader.seen + reader.lostTotal, all);
    assert(reader.lostTotal > 0);
    const { lostTotal: lost } = reader;
    source.send(30_000, DROP);
    await seen(reader, all + 30_000);
    assertEquals([reader.seen + reader.lostTotal, reader.lostTotal], [all + 30_000, lost]);
  });
});

Deno.test("a cursor gets the events of the types that it wants", async () => {
  await withReader(async (reader, source) => {
    using drops = reader.flows.cursor({ consumer: "drops", filter: { types: [DROP] } });
    using all = reader.flows.cursor({ consumer: "all" });
    for (const type of [TRACE, DROP, VERDICT, DROP]) source.send(1, type);
    const types = async (cursor: FlowCursor, count: number) =>
      (await takeAll(cursor, count)).map(({ type }) => type);
    assertEquals(await types(all, 4), [TRACE, DROP, VERDICT, DROP]);
    assertEquals(await types(drops, 2), [DROP, DROP]);
  });
});

Deno.test("a cursor that is slow misses the oldest events, gets the others in order, and no drop is missed", async () => {
  await withReader(async (reader, source) => {
    using cursor = reader.flows.cursor({ consumer: "slow" });
    const { capacity } = reader.flows;
    source.send(10, DROP);
    await seen(reader, 10);
    for (let sent = 0; sent < 90_000; sent += 30_000) {
      source.send(30_000, VERDICT);
      await seen(reader, 10 + sent + 30_000);
    }
    assertEquals(reader.lostTotal, 0);
    const flows = await takeAll(cursor, 10 + capacity);
    assertEquals(flows.filter(({ type }) => type === DROP).length, 10);
    const ports = flows.slice(10).map((flow) => flow.kind === "packet" && flow.source.port);
    const first = Number(ports[0]);
    assertEquals(ports, Array.from({ length: capacity }, (_, i) => (first + i) % 65_536));
    const missed = [{ type: VERDICT, count: 90_000 - capacity }];
    assertEquals(cursor.missed(), missed);
    assertEquals(reader.flows.missed(), missed.map((row) => ({ consumer: "slow", ...row })));
  });
});

Deno.test("what came before is there for a cursor that looks back", async () => {
  await withReader(async (reader, source) => {
    source.send(5, TRACE);
    source.send(5, DROP);
    await seen(reader, 10);
    using cursor = reader.flows.cursor({ consumer: "back", last: 7, follow: false });
    const flows = await cursor.take(never);
    assertEquals(flows.map(({ type }) => type), [TRACE, TRACE, DROP, DROP, DROP, DROP, DROP]);
    const age = Date.now() / 1000 - flows[0]!.seconds;
    assert(age >= 0 && age < 60, `${age} s`);
  });
});

Deno.test("events that found no room are reported among flows, by type", async () => {
  await withReader(async (reader, source) => {
    using cursor = reader.flows.cursor({ consumer: "agent", filter: { types: [FlowType.AGENT] } });
    const before = reader.lostTotal;
    source.send(200_000, TRACE);
    const [flow] = await takeAll(cursor, 1);
    assert(flow?.kind === "agent");
    assertStringIncludes(flow.text, `${reader.lostTotal - before} of type trace found no room`);
  });
});

Deno.test("flowMetrics() counts what was seen, lost and missed by type", async () => {
  await withReader(async (reader, source) => {
    source.send(3, DROP);
    await seen(reader, 3);
    assertEquals(
      flowMetrics(reader).map(({ name, labels, value }) => [name, labels.type, value]),
      [
        ["pilus_events_seen_total", "drop", 3],
        ["pilus_events_seen_total", "trace", 0],
        ["pilus_events_seen_total", "verdict", 0],
        ["pilus_events_seen_total", "agent", 0],
      ],
    );
  });
});

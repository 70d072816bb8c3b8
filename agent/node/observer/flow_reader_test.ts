import { assert, assertEquals } from "@std/assert";
import { EventType } from "../../../datapath/maps/generated.ts";
import { EventSource } from "../../../datapath/testdata/event_source.ts";
import type { FlowNames } from "./flow.ts";
import type { FlowListener } from "./flow_listener.ts";
import { FlowReader } from "./flow_reader.ts";

const NAMES: FlowNames = {
  labels: () => undefined,
  pod: () => undefined,
  interface: () => "eth0",
  rule: () => undefined,
};

const { DROP, TRACE, VERDICT } = EventType;
const never = new AbortController().signal;

/** Runs `test` with a reader of the events that `source` sends. */
async function withReader(
  test: (reader: FlowReader, source: EventSource) => Promise<void>,
): Promise<void> {
  using source = new EventSource();
  {
    using reader = new FlowReader(source.events, source.lost, NAMES);
    await test(reader, source);
  }
  await delay(10); // until the thread that waits for the buffer has ended
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function seen(reader: FlowReader, events: number): Promise<void> {
  const deadline = performance.now() + 5000;
  while (reader.seen + reader.lost < events && performance.now() < deadline) await delay(5);
}

/** What waits for the listener. */
async function takeAll(listener: FlowListener, flows: number): Promise<string[]> {
  const types: string[] = [];
  while (types.length < flows) {
    for (const { type } of await listener.take(never)) types.push(type);
  }
  return types;
}

Deno.test("FlowReader counts every event as seen or lost when there are more than it has room for", async () => {
  await withReader(async (reader, source) => {
    const all = 300_000;
    for (let sent = 0; sent < all; sent += 100_000) {
      source.send(100_000, VERDICT); // twice what the buffer holds
      await delay(1);
    }
    await seen(reader, all);
    assertEquals(reader.seen + reader.lost, all);
    assert(reader.lost > 0);
    const { lost } = reader;
    source.send(30_000, DROP);
    await seen(reader, all + 30_000);
    assertEquals([reader.seen + reader.lost, reader.lost], [all + 30_000, lost]);
  });
});

Deno.test("FlowReader tells each listener of the types that it wants", async () => {
  await withReader(async (reader, source) => {
    using drops = reader.listen([DROP]);
    using all = reader.listen();
    for (const type of [TRACE, DROP, VERDICT, DROP]) source.send(1, type);
    assertEquals(await takeAll(all, 4), ["trace", "drop", "verdict", "drop"]);
    assertEquals(await takeAll(drops, 2), ["drop", "drop"]);
  });
});

Deno.test("a listener that is slow loses the oldest flows, and keeps the order", async () => {
  await withReader(async (reader, source) => {
    using listener = reader.listen();
    source.send(10, TRACE);
    for (let sent = 10; sent < 90_010; sent += 30_000) {
      source.send(30_000, VERDICT);
      await seen(reader, sent + 30_000);
    }
    assertEquals(reader.lost, 0);
    let ports: number[] = [];
    while (ports.length < 65_536) {
      const flows = await listener.take(never);
      assertEquals(new Set(flows.map(({ type }) => type)), new Set(["verdict"]));
      ports = ports.concat(flows.map(({ source }) => source.port!));
    }
    assertEquals([listener.missed, reader.missed], [90_010 - 65_536, 90_010 - 65_536]);
    const first = ports[0]!;
    assertEquals(ports, Array.from({ length: 65_536 }, (_, i) => (first + i) % 65_536));
  });
});

Deno.test("FlowListener.take() ends without flows when its signal comes", async () => {
  await withReader(async (reader) => {
    using listener = reader.listen();
    const stop = new AbortController();
    const taken = listener.take(stop.signal);
    stop.abort();
    assertEquals(await taken, []);
  });
});

Deno.test("a listener that is disposed of hears no more", async () => {
  await withReader(async (reader, source) => {
    const listener = reader.listen();
    listener[Symbol.dispose]();
    source.send(1, TRACE);
    await seen(reader, 1);
    const taken = listener.take(AbortSignal.abort());
    assertEquals([reader.seen, await taken], [1, []]);
  });
});

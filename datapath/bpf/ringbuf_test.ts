import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { perCpu, u64 } from "./codec.ts";
import { BpfObject } from "./object.ts";
import { RingBuffer } from "./ringbuf.ts";
import { compile } from "./testdata/build.ts";

const sample = compile("sample");
const packet = new Uint8Array(60);

Deno.test("RingBuffer.drain() gives records in order across many turns of the ring", () => {
  using object = BpfObject.open(sample).load();
  using program = object.program("tc_fill");
  using map = object.map("events");
  using ring = new RingBuffer(map);
  let expected = 0;
  for (let turn = 0; turn < 300; turn++) { // 16 bytes a record: 4.8 MB through 1 MiB
    assertEquals(program.testRun({ data: packet }).retval, 1000);
    for (let read = 0; read < 1000;) {
      read += ring.drain((view, offset, length) => {
        if (length !== 8 || view.getUint32(offset, true) !== expected) {
          throw new Error(`expected ${expected}, got ${view.getUint32(offset, true)}`);
        }
        expected = (expected + 1) % 1000;
      }, 333);
    }
  }
  assertEquals(ring.pending, 0);
});

Deno.test("RingBuffer.drain() passes over discarded records and stops at max", () => {
  using object = BpfObject.open(sample).load();
  using discard = object.program("tc_discard");
  using verdict = object.program("tc_verdict");
  using map = object.map("events");
  using ring = new RingBuffer(map);
  discard.testRun({ data: packet, repeat: 3 });
  verdict.testRun({ data: packet, repeat: 3 });
  let records = 0;
  assertEquals(ring.drain(() => records++, 2), 2);
  assertEquals(ring.drain(() => records++), 1);
  assertEquals([records, ring.pending], [3, 0]);
});

Deno.test("RingBuffer.drain() reports a full ring by the program's failed reserve", () => {
  using object = BpfObject.open(sample);
  object.setMaxEntries("events", 4096);
  object.load();
  using program = object.program("tc_fill");
  using map = object.map("events");
  using ring = new RingBuffer(map);
  const fitted = program.testRun({ data: packet }).retval;
  assertEquals(ring.drain(() => {}), fitted);
});

Deno.test("RingBuffer.wait() ends by a record, by time and by dispose", async () => {
  using object = BpfObject.open(sample).load();
  using program = object.program("tc_verdict");
  using map = object.map("events");
  const ring = new RingBuffer(map);
  assertEquals(await ring.wait(10), false);
  const woken = ring.wait(10_000);
  program.testRun({ data: packet });
  assertEquals(await woken, true);
  ring.drain(() => {});
  const stopped = ring.wait(10_000);
  ring[Symbol.dispose]();
  assertEquals(await stopped, false);
  assertThrows(() => ring.drain(() => {}), TypeError, "disposed");
});

Deno.test("RingBuffer.waitSync() ends by a record or by time", () => {
  using object = BpfObject.open(sample);
  object.setAutoload(["tc_verdict"]);
  object.load();
  using program = object.program("tc_verdict");
  using ring = new RingBuffer(object.map("events"));
  assertEquals(ring.waitSync(1), false);
  program.testRun({ data: packet });
  assertEquals(ring.waitSync(60_000), true);
  assertEquals(ring.drain(() => {}), 1);
  ring[Symbol.dispose]();
  assertThrows(() => ring.waitSync(1), TypeError, "disposed");
});

Deno.test("RingBuffer.records() gives what comes, until it is told to stop", async () => {
  using object = BpfObject.open(sample).load();
  using fill = object.program("tc_fill");
  using map = object.map("events");
  using ring = new RingBuffer(map);
  const stop = new AbortController();
  const seen: bigint[] = [];
  const later = [5, 20].map((ms) => setTimeout(() => fill.testRun({ data: packet }), ms));
  for await (const value of ring.records(u64, { signal: stop.signal })) {
    seen.push(value);
    if (seen.length === 2000) stop.abort();
  }
  later.forEach(clearTimeout);
  const numbers = Array.from({ length: 1000 }, (_, i) => BigInt(i));
  assertEquals(seen, [...numbers, ...numbers]);
  await assertRejects(
    async () => {
      fill.testRun({ data: packet });
      for await (const _ of ring.records(perCpu(u64))) break;
    },
    RangeError,
    "A record has 8 bytes",
  );
});

Deno.test("many rings wait on one thread, and each wakes its own reader alone", async () => {
  using stack = new DisposableStack();
  const rings = Array.from({ length: 100 }, () => {
    const object = stack.use(BpfObject.open(sample));
    object.setAutoload(["tc_verdict"]);
    object.setMaxEntries("events", 4096);
    object.load();
    const program = stack.use(object.program("tc_verdict"));
    return { program, ring: stack.use(new RingBuffer(stack.use(object.map("events")))) };
  });
  const woken: number[] = [];
  const waits = rings.map(async ({ ring }, i) => {
    if (await ring.wait(20_000)) woken.push(i);
  });
  // threads are left for others
  assert((await Deno.readTextFile("/proc/self/status")).includes("Threads"));
  for (const i of [7, 41, 0, 99]) {
    rings[i]!.program.testRun({ data: packet });
    await waits[i];
  }
  assertEquals(woken, [7, 41, 0, 99]);
  for (const { ring } of rings) ring[Symbol.dispose]();
  await Promise.all(waits);
  assertEquals(woken.length, 4);
});

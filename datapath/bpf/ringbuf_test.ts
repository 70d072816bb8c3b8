import { assertEquals, assertThrows } from "@std/assert";
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

/** Records to user space by perf events, and from it by a ring. */

import { assertEquals, assertThrows } from "@std/assert";
import { BpfObject } from "./object.ts";
import { PerfEventArray } from "./perf_event_array.ts";
import { compile } from "./testdata/build.ts";
import { UserRingBuffer } from "./user_ringbuf.ts";

const file = compile("streams");
const packet = new Uint8Array(60);

Deno.test("PerfEventArray gives each record, in order by CPU, across turns of its rings", async () => {
  using object = BpfObject.open(file).load();
  using program = object.program("output"), map = object.map("outputs");
  using array = new PerfEventArray(map, 4096);
  assertEquals(await array.wait(1), false);
  const wait = array.wait(60_000);
  let next = 0;
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 20; i++) assertEquals(program.testRun({ data: packet }).retval, 0);
    if (round === 0) assertEquals(await wait, true);
    const seen: number[] = [];
    array.drain((view, offset, length) => {
      assertEquals([length >= 16, view.getUint32(offset + 8, true)], [true, 7]);
      seen.push(view.getUint32(offset, true));
    });
    assertEquals(seen.sort((a, b) => a - b), Array.from({ length: 20 }, () => next++));
  }
  for (let i = 0; i < 4000; i++) program.testRun({ data: packet });
  let read = 0, total = 0;
  for (; read === 0 || total + array.lost < 4000; read++) {
    total += array.drain(() => {});
    if (read > 5) break;
    program.testRun({ data: packet }); // what was lost is told with the next one
    total--;
  }
  assertEquals(array.lost > 0, true);
  const ended = array.wait(60_000);
  array[Symbol.dispose]();
  array[Symbol.dispose]();
  assertEquals(await ended, false);
  assertThrows(() => array.drain(() => {}), TypeError, "disposed");
  assertThrows(() => new PerfEventArray(map, 5000), RangeError, "power of 2");
  using other = object.map("inputs");
  assertThrows(() => new PerfEventArray(other), TypeError, "no perf event array");
});

Deno.test("UserRingBuffer writes what programs read, until it is full", () => {
  using object = BpfObject.open(file).load();
  using program = object.program("take"), map = object.map("inputs");
  using ring = new UserRingBuffer(map);
  const value = (number: number) => new Uint8Array(new Uint32Array([number, 0, 0]).buffer);
  let sum = 0, count = 0;
  for (let round = 0; round < 10; round++) {
    while (ring.write(value(count + 1))) sum += ++count;
    for (let i = 0; i < 10; i++) assertEquals(program.testRun({ data: packet }).retval, 0);
    assertEquals([object.variable("sum").get(), object.variable("count").get()], [
      BigInt(sum),
      BigInt(count),
    ]);
  }
  assertEquals(count > 10_000, true);
  assertThrows(() => ring.write(new Uint8Array(65_536)), RangeError, "the ring has 65536");
  ring[Symbol.dispose]();
  ring[Symbol.dispose]();
  assertThrows(() => ring.write(value(1)), TypeError, "disposed");
  using other = object.map("outputs");
  assertThrows(() => new UserRingBuffer(other), TypeError, "no user ring buffer");
});

/** No order of calls and no input ends the process, or gives what is not there. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ERRNO, KernelError } from "./kernel_error.ts";
import { Btf } from "./btf.ts";
import { possibleCpus } from "./codec.ts";
import { MapType } from "./constants.ts";
import { BpfLink } from "./link/link.ts";
import { attachXdp } from "./link/xdp.ts";
import { BpfMap } from "./map.ts";
import { BpfObject } from "./object.ts";
import { BpfProgram } from "./program.ts";
import { RingBuffer } from "./ringbuf.ts";
import { compile } from "./testdata/build.ts";
import { temporaryBpffs, temporaryVeth } from "./testdata/lab.ts";

const sample = compile("sample");
const packet = new Uint8Array(60);

/** The sample's ring with so many records, numbered from 0. */
function filledRing(stack: DisposableStack): RingBuffer {
  const object = stack.use(BpfObject.open(sample).load());
  stack.use(object.program("tc_fill")).testRun({ data: packet });
  return stack.use(new RingBuffer(stack.use(object.map("events"))));
}

Deno.test("BpfObject.open() takes an object without BTF", () => {
  using object = BpfObject.open(compile("plain", { btf: false }));
  assertEquals([object.programNames, object.mapNames], [["pass"], []]);
  assertThrows(() => object.setConstants({ limit: 1 }), RangeError, "compile it with -g");
  object.load();
  using program = object.program("pass");
  assertEquals(program.testRun({ data: packet }).retval, 2);
  const error = assertThrows(() => BpfObject.open(compile("sample", { btf: false })), KernelError);
  assert(error.message.includes("compile it with -g"), error.message);
});

Deno.test("RingBuffer gives copies: they can be written to and kept", () => {
  using stack = new DisposableStack();
  const ring = filledRing(stack);
  let kept: DataView | undefined;
  ring.drain((view, offset) => {
    view.setUint32(offset, 0xdead, true);
    kept ??= view;
  }, 10);
  ring[Symbol.dispose]();
  ring[Symbol.dispose]();
  assertEquals(kept!.byteLength > 0 && typeof kept!.getUint32(8, true), "number");
  assertThrows(() => ring.pending, TypeError, "disposed");
  assertThrows(() => ring.drain(() => {}), TypeError, "disposed");
  assertEquals(ring.size, 1 << 20);
});

Deno.test("RingBuffer.drain() ends with a dispose in its callback", () => {
  using stack = new DisposableStack();
  const ring = filledRing(stack);
  let calls = 0;
  assertEquals(
    ring.drain(() => {
      if (++calls === 3) ring[Symbol.dispose]();
    }),
    3,
  );
});

Deno.test("RingBuffer.drain() within a drain gives each record once, in order", () => {
  using stack = new DisposableStack();
  const ring = filledRing(stack);
  const seen: number[] = [];
  const outer = ring.drain((view, offset) => {
    seen.push(view.getUint32(offset, true));
    if (seen.length % 100 !== 1) return;
    const before = seen.length;
    ring.drain((inner, at) => seen.push(inner.getUint32(at, true)), 30);
    assertEquals(seen.length, Math.min(before + 30, 1000));
    // what the outer drain has in hand is what it was
    assertEquals(view.getUint32(offset, true), seen[before - 1]);
  });
  assertEquals(seen, Array.from({ length: 1000 }, (_, i) => i));
  assert(outer < 1000);
  assertEquals(ring.pending, 0);
});

Deno.test("RingBuffer.drain() counts the record whose callback throws as read", () => {
  using stack = new DisposableStack();
  const ring = filledRing(stack);
  let first = -1;
  assertThrows(
    () =>
      ring.drain((view, offset) => {
        if (view.getUint32(offset, true) === 5) throw new Error("not this one");
      }),
    Error,
    "not this one",
  );
  ring.drain((view, offset) => void (first = view.getUint32(offset, true)), 1);
  assertEquals(first, 6);
});

Deno.test("BpfObject can be disposed of while it loads", async () => {
  const object = BpfObject.open(sample);
  const loading = object.loadElsewhere();
  object[Symbol.dispose]();
  object[Symbol.dispose]();
  await assertRejects(() => loading, TypeError, "disposed meanwhile");
  assertThrows(() => object.program("tc_verdict"), RangeError);
  assertThrows(() => object.load(), TypeError, "disposed");
});

Deno.test("what is disposed of says so", async () => {
  const object = BpfObject.open(sample).load();
  const program = object.program("tc_verdict"), map = object.map("flows");
  for (const one of [object, program, map]) {
    one[Symbol.dispose]();
    one[Symbol.dispose]();
  }
  const key = new Uint8Array(8), value = new Uint8Array(32);
  const calls: (() => unknown)[] = [
    () => program.testRun({ data: packet }),
    () => program.pin("/sys/fs/bpf/never"),
    () => map.get(key),
    () => map.set(key, value),
    () => map.delete(key),
    () => map.nextKey(undefined, key),
    () => [...map.entries()],
    () => map.setBatch(key, value, 1),
    () => map.deleteBatch(key, 1),
    () => map.clear(),
    () => map.pin("/sys/fs/bpf/never"),
    () => object.setAutoload([]),
    () => object.setConstants({}),
    () => object.load(),
  ];
  for (const call of calls) {
    const { message } = assertThrows(call, TypeError);
    assert(/closed|disposed/.test(message), message);
  }
  assertThrows(() => object.map("flows"), RangeError);
  await assertRejects(() => program.runElsewhere(new Uint8Array(8)), TypeError);
});

Deno.test("openPinned() takes its own kind alone", () => {
  using bpffs = temporaryBpffs();
  using object = BpfObject.open(sample).load();
  using program = object.program("xdp_pass"), map = object.map("flows");
  const at = (name: string) => `${bpffs.path}/${name}`;
  map.pin(at("map"));
  program.pin(at("prog"));
  using veth = temporaryVeth();
  using _link = attachXdp(program, { ifindex: veth.ifindex, pin: at("link") });
  const openers = { map: BpfMap, prog: BpfProgram, link: BpfLink };
  for (const [name, kind] of Object.entries(openers)) {
    for (const pin of Object.keys(openers)) {
      if (pin === name) {
        kind.openPinned(at(pin))[Symbol.dispose]();
        continue;
      }
      const error = assertThrows(() => kind.openPinned(at(pin)), KernelError, "is pinned there");
      assertEquals(error.errno, ERRNO.EINVAL);
    }
  }
  assertThrows(() => BpfMap.tryOpenPinned(at("prog")), KernelError, "a program is pinned there");
  using again = BpfObject.open(sample);
  assertThrows(() => again.pinMap("flows", at("link")), KernelError, "a link is pinned there");
});

Deno.test("BpfMap has room for every CPU's value of a per-CPU cgroup storage", () => {
  using map = BpfMap.create({
    name: "storage",
    type: MapType.PERCPU_CGROUP_STORAGE,
    keySize: 8,
    valueSize: 12,
    maxEntries: 0,
  });
  assertEquals([map.perCpu, map.storedValueSize], [true, 16 * possibleCpus()]);
});

Deno.test("BpfMap.nextKey() refuses a first key of another size", () => {
  using map = BpfMap.create({
    name: "numbers",
    type: MapType.HASH,
    keySize: 8,
    valueSize: 4,
    maxEntries: 4,
  });
  assertThrows(() => map.nextKey(new Uint8Array(1), new Uint8Array(8)), RangeError, "1 were given");
});

/** A blob of these 32-bit words of types, with one name. */
function btf(words: number[]): Uint8Array {
  const strings = new TextEncoder().encode("\0loop\0");
  const head = new Uint32Array([0x01_eb9f, 24, 0, words.length * 4, words.length * 4, 6]);
  const parts = [head, new Uint32Array(words)].map((part) => new Uint8Array(part.buffer));
  return new Uint8Array([...parts[0]!, ...parts[1]!, ...strings]);
}

Deno.test("Btf says of a type that is made of itself that it is", () => {
  const TYPEDEF = 8 << 24, ARRAY = 3 << 24;
  const loop = Btf.parse(btf([1, TYPEDEF, 2, 1, TYPEDEF, 1]));
  assertThrows(() => loop.resolve(1), RangeError, "type 1 (loop) is made of itself");
  assertThrows(() => loop.sizeOf(2), RangeError, "made of itself");
  const array = Btf.parse(btf([0, ARRAY, 0, 1, 1, 2]));
  assertThrows(() => array.sizeOf(1), RangeError, "an array of itself");
});

Deno.test("Btf.parse() refuses what ends within a type", () => {
  const whole = btf([1, 8 << 24, 1]);
  for (let length = 0; length < 30; length++) {
    assertThrows(() => Btf.parse(whole.subarray(0, length)), SyntaxError);
  }
});

Deno.test("BpfObject.open() refuses a file that was cut, at any place", () => {
  for (let i = 0; i < 200; i++) {
    const cut = sample.subarray(0, Math.floor(sample.length * i / 200));
    assertThrows(() => BpfObject.open(cut)[Symbol.dispose](), KernelError, "it is no eBPF object");
  }
});

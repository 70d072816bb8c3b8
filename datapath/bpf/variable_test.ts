import { assertEquals, assertThrows } from "@std/assert";
import { readValue, writeValue } from "./btf_value.ts";
import { BpfObject } from "./object.ts";
import { compile } from "./testdata/build.ts";

const variables = compile("variables");
const packet = new Uint8Array(60);
const FIRST = {
  number: 3,
  wide: -4n,
  mode: -2,
  on: true,
  name: "first",
  list: [0, 0, 0],
  inner: { low: 0, high: 0 },
  three: 0,
  signed_five: 0,
  rest: 0,
  word: 0,
  bytes: [0, 0, 0, 0],
};

Deno.test("BpfVariable is what an object begins with, then what its programs have", () => {
  using object = BpfObject.open(variables);
  assertEquals(object.variableNames.sort(), ["counter", "current", "fixed", "limit", "ratio"]);
  const current = object.variable("current"), counter = object.variable("counter");
  assertEquals(current.get(), FIRST);
  current.set({ number: 10, name: "other", three: 5, rest: 0xabcdef });
  object.setConstants({ limit: 6, fixed: { inner: { low: -9 } } });
  counter.set(100n);
  object.variable("ratio").set(0.5);
  object.load();

  using program = object.program("count");
  assertEquals(program.testRun({ data: packet }).retval, 2);
  assertEquals(counter.get(), 101n);
  assertEquals(object.variable("ratio").get(), 0.5);
  assertEquals(current.get(), {
    ...FIRST,
    number: 16,
    name: "other",
    inner: { low: -9, high: 0 },
    three: 5,
    signed_five: -3,
    rest: 0xabcdef,
  });
  current.set({ mode: 7, word: 0x04030201 });
  assertEquals(program.testRun({ data: packet }).retval, 1);
  assertEquals((current.get() as typeof FIRST).bytes, [1, 2, 3, 4]);
  assertEquals(object.variable("limit").get(), 6);
  assertThrows(() => object.variable("limit").set(7), TypeError, "fixed when it is loaded");

  object[Symbol.dispose]();
  assertThrows(() => counter.get(), TypeError, "disposed");
  assertThrows(() => counter.set(1n), TypeError, "disposed");
});

const wrong: [what: string, value: unknown, why: string][] = [
  ["a number that is too large", { number: 2 ** 32 }, "does not fit"],
  ["a negative one where there are none", { number: -1 }, "does not fit"],
  ["bits that are too many", { three: 8 }, "3-bit number, and 8 does not fit"],
  ["signed bits that are too many", { signed_five: 16 }, "a signed 5-bit"],
  ["a fraction", { number: 1.5 }, "a whole number"],
  ["a text that is too long", { name: "twelve bytes" }, "12 bytes, and 11 fit"],
  ["a list of another length", { list: [1] }, "has 1 values, and the array 3"],
  ["a text for a number", { number: "1" }, "a number, not a string"],
  ["a number for a struct", { inner: 1 }, "an object, not a number"],
  ["a member that is not there", { nothing: 1 }, "no member nothing; it has number, wide"],
];

for (const [what, value, why] of wrong) {
  Deno.test(`BpfVariable.set() refuses ${what}`, () => {
    using object = BpfObject.open(variables);
    const current = object.variable("current");
    assertThrows(() => current.set(value as never), Error, why);
    assertEquals(current.get(), FIRST);
  });
}

Deno.test("writeValue() and readValue() agree on each member and its borders", () => {
  using object = BpfObject.open(variables);
  const { id } = object.btf.find("struct", "setting")!;
  const view = new DataView(new ArrayBuffer(object.btf.sizeOf(id) + 8));
  for (
    const part of [
      { number: 0xffffffff, wide: 2n ** 63n - 1n },
      { wide: -(2n ** 63n), mode: 7 },
      { three: 7, signed_five: -16, rest: 0xffffff },
      { signed_five: 15, rest: 0 },
      { name: "ten byte é" },
      { bytes: [255, 0, 255, 1] },
      { on: false },
    ]
  ) {
    writeValue(object.btf, id, view, 8, part);
    const back = readValue(object.btf, id, view, 8) as Record<string, unknown>;
    for (const [name, value] of Object.entries(part)) assertEquals(back[name], value, name);
  }
  assertEquals(new Uint8Array(view.buffer, 0, 8), new Uint8Array(8));
});

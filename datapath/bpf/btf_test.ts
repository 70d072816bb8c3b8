import { assert, assertEquals, assertThrows } from "@std/assert";
import { Btf } from "./btf.ts";
import type { BtfStruct } from "./btf_types.ts";
import { MapType } from "./constants.ts";
import { compile } from "./testdata/build.ts";

const btf = Btf.fromElf(compile("sample"));

Deno.test("Btf tells members, bitfields and sizes of a struct", () => {
  const key = btf.find("struct", "flow_key");
  assert(key);
  const { size, members } = key.type as BtfStruct;
  assertEquals(size, 8);
  assertEquals(
    members.map((m) => [m.name, m.bitOffset, m.bitSize]),
    [["source", 0, 0], ["port", 32, 0], ["flags", 48, 3], ["family", 51, 5], ["pad", 56, 0]],
  );
  assertEquals(btf.type(members[0]!.type).name, "__be32");
});

Deno.test("Btf tells the maps of an object with their types", () => {
  const flows = btf.maps().find((map) => map.name === "flows");
  assert(flows?.key !== undefined && flows.value !== undefined);
  assertEquals([flows.type, flows.maxEntries, flows.pinned], [MapType.HASH, 4096, true]);
  assertEquals(btf.type(flows.key).name, "flow_key");
  assertEquals([flows.keySize, flows.valueSize], [8, btf.sizeOf(flows.value)]);
});

Deno.test("Btf tells enums and declaration tags", () => {
  const kind = btf.find("enum", "kind");
  assertEquals(kind?.type.values, [
    { name: "KIND_NONE", value: 0n },
    { name: "KIND_PACKET", value: 3n },
  ]);
  const verdict = btf.variables(".rodata").find((variable) => variable.name === "verdict");
  assertEquals(btf.tags(verdict!.id), ["what tc_verdict returns"]);
});

Deno.test("Btf.parse() refuses what is no BTF", () => {
  assertThrows(() => Btf.parse(new Uint8Array(40)), SyntaxError, "magic");
  assertThrows(() => Btf.fromElf(new Uint8Array(80)), SyntaxError, "ELF");
});

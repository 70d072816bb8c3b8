import { assertEquals, assertThrows } from "@std/assert";
import { compileAll, compileShared, generate, GENERATED } from "../../scripts/generate_codecs.ts";
import { compile } from "../bpf/testdata/build.ts";
import { BpfObject, TypedMap } from "../bpf/mod.ts";
import { formatted } from "../bpf/generate/formatted.ts";
import { bytes, readBits, writeBits } from "../bpf/codec.ts";

Deno.test("datapath/maps/generated.ts is what the objects' BTF says", () => {
  const wanted = formatted(generate(compileAll().values(), compileShared()));
  if (Deno.readTextFileSync(GENERATED) !== wanted) {
    throw new Error(`${GENERATED} is stale: run ./scripts/build.sh and commit it`);
  }
});

Deno.test("generate() makes codecs that agree with the kernel's layout", async () => {
  const text = formatted(generate([compile("sample")], compile("sample"), ""))
    .replace("../bpf/codec.ts", new URL("../bpf/codec.ts", import.meta.url).href);
  const module = await import(`data:application/typescript,${encodeURIComponent(text)}`);
  using object = BpfObject.open(compile("sample")).load();
  using flows = new TypedMap<Record<string, unknown>, Record<string, unknown>>(
    object.map("flows"),
    module.maps.flows,
  );
  const key = { source: 0x0100000a, port: 0x50, flags: 0, family: 0 };
  const flow = {
    packets: 7n,
    bytes: 9,
    mac: new Uint8Array([1, 2, 3, 4, 5, 6]),
    kind: 3,
    nested: { first: 1, second: 2 },
  };
  flows.set(key, flow);
  using program = object.program("xdp_pass"); // looks up the same key, counts a packet
  program.testRun({ data: new Uint8Array(60) });
  assertEquals(flows.get(key), { ...flow, packets: 8n });
  assertEquals([...flows.entries()][0]![0], key);
});

Deno.test("readBits() and writeBits() round-trip across byte borders", () => {
  const view = new DataView(new ArrayBuffer(8));
  writeBits(view, 1, 5, 13, 0x1abc);
  assertEquals(readBits(view, 1, 5, 13), 0x1abc);
  assertEquals(readBits(view, 1, 0, 5), 0);
  assertThrows(() => writeBits(view, 0, 0, 3, 8), RangeError, "3 bits");
});

Deno.test("bytes() refuses another length", () => {
  const view = new DataView(new ArrayBuffer(8));
  assertThrows(() => bytes(4).encode(view, 0, new Uint8Array(3)), RangeError, "Expected 4 bytes");
});

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { KernelError } from "./kernel_error.ts";
import { MapType } from "./constants.ts";
import { BpfMap } from "./map.ts";
import { BpfObject } from "./object.ts";
import { compileBpf } from "../../scripts/compile_bpf.ts";
import { compile } from "./testdata/build.ts";
import { temporaryBpffs } from "./testdata/lab.ts";

const sample = compile("sample");

Deno.test("BpfObject.setConstants() sets .rodata by name, and the program sees it", () => {
  using object = BpfObject.open(sample, { name: "sample" });
  object.setAutoload(["tc_verdict"]);
  object.setConstants({
    verdict: 7,
    offset: -1,
    address: new Uint8Array(16).fill(43),
    cookie: 2n ** 63n,
  });
  object.load();
  using program = object.program("tc_verdict");
  assertEquals(program.testRun({ data: new Uint8Array(60) }).retval, 7);
  const { ctx } = program.testRun({ data: new Uint8Array(60), ctx: new Uint8Array(192) });
  assertEquals(new DataView(ctx.buffer).getUint32(8, true), 42, "__sk_buff.mark");
});

Deno.test("BpfObject.setConstants() refuses unknown names and values that do not fit", () => {
  using object = BpfObject.open(sample, { name: "sample" });
  assertThrows(() => object.setConstants({ verdikt: 1 }), RangeError, "it has verdict, cookie");
  assertThrows(() => object.setConstants({ verdict: 2 ** 32 }), RangeError, "does not fit");
  assertThrows(() => object.setConstants({ offset: -32769 }), RangeError, "does not fit");
  assertThrows(
    () => object.setConstants({ address: new Uint8Array(4) }),
    RangeError,
    "has 16 bytes, and 4 were given",
  );
});

Deno.test("BpfObject.load() loads only the programs chosen", () => {
  using object = BpfObject.open(sample);
  object.setAutoload(["xdp_pass"]);
  object.load();
  using program = object.program("xdp_pass");
  assertEquals(program.typeName, "XDP");
  assertThrows(() => object.program("tc_verdict"), RangeError, "is not loaded");
  assertThrows(() => object.program("nothing"), RangeError, "has no program nothing; it has");
});

Deno.test("BpfObject.load() shows the end of the verifier's log of a rejected program", () => {
  using object = BpfObject.open(compile("rejected"), { name: "rejected" });
  const error = assertThrows(() => object.load(), KernelError);
  assertEquals(error.code, "EACCES");
  assertEquals(error.target, "out_of_bounds");
  assertStringIncludes(error.log ?? "", "invalid access to packet");
});

Deno.test("BpfObject.pinMaps() shares a pinned map among loads and keeps its rows", () => {
  using bpffs = temporaryBpffs();
  const load = () => {
    const object = BpfObject.open(sample);
    object.setAutoload([]);
    object.pinMaps(`${bpffs.path}/a/b`);
    return object.load();
  };
  using first = load();
  using flows = first.map("flows");
  flows.set(new Uint8Array(8), new Uint8Array(32).fill(5));
  using second = load();
  using again = second.map("flows");
  assertEquals(again.id, flows.id);
  assertEquals(again.get(new Uint8Array(8)), new Uint8Array(32).fill(5));
});

Deno.test("BpfObject.pinMaps() names each difference of a pinned map with another layout", () => {
  using bpffs = temporaryBpffs();
  using other = BpfMap.create({
    name: "flows",
    type: MapType.LRU_HASH,
    keySize: 4,
    valueSize: 32,
    maxEntries: 1,
  });
  other.pin(`${bpffs.path}/flows`);
  using object = BpfObject.open(sample);
  const error = assertThrows(() => object.pinMaps(bpffs.path), KernelError);
  assertStringIncludes(
    error.message,
    "type is LRU_HASH, expected HASH; key size is 4, expected 8; max entries is 1, expected 4096",
  );
});

Deno.test("BpfObject.pinMaps() says how to mount a bpffs where there is none", () => {
  const path = Deno.makeTempDirSync();
  try {
    using object = BpfObject.open(sample);
    assertThrows(() => object.pinMaps(path), KernelError, "mount -t bpf bpf /sys/fs/bpf");
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("BpfObject.setMaxEntries() resizes and reuseMap() takes over a map", () => {
  using object = BpfObject.open(sample);
  object.setAutoload([]);
  object.setMaxEntries("flows", 10);
  using other = BpfMap.create({
    name: "flows",
    type: MapType.HASH,
    keySize: 8,
    valueSize: 32,
    maxEntries: 10,
  });
  object.reuseMap("flows", other);
  object.load();
  using flows = object.map("flows");
  assertEquals([flows.id, flows.maxEntries], [other.id, 10]);
});

Deno.test("BpfObject.open() says what is wrong with a file that is no object", () => {
  assertThrows(() => BpfObject.open(new Uint8Array(100)), KernelError, "no eBPF object");
});

const unexplained: [what: string, c: string, why: string][] = [
  ["an unknown section", 'SEC("nothing") int f(void *ctx) { return 0; }', "section name 'nothing'"],
  [
    "a kernel function that is not there",
    'extern int nowhere(void) __ksym; SEC("tc") int f(void *ctx) { return nowhere(); }',
    "'nowhere': not found",
  ],
  [
    "a map that the kernel refuses",
    `struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 9); __type(key, __u64);
     __type(value, __u32); } trie SEC(".maps");
     SEC("tc") int f(void *ctx) { __u64 key = 0; return !bpf_map_lookup_elem(&trie, &key); }`,
    "map 'trie': failed to create",
  ],
];

for (const [what, c, why] of unexplained) {
  Deno.test(`BpfObject says libbpf's reason for refusing ${what}`, () => {
    const file = compileBpf(
      `#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n` +
        `char _license[] SEC("license") = "GPL";\n${c}\n`,
    );
    const load = () => {
      using object = BpfObject.open(file);
      object.load();
    };
    assertStringIncludes(assertThrows(load, KernelError).message, why);
  });
}

import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { generateObject } from "../generate.ts";
import { compileBpf } from "../../../scripts/compile_bpf.ts";
import { compile } from "../testdata/build.ts";
import { temporaryVeth } from "../testdata/lab.ts";

const LIBRARY = new URL("../mod.ts", import.meta.url).href;
const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;
const packet = new Uint8Array(60);

/** Modules of these objects, checked by the compiler. */
async function generated(names: string[]): Promise<Record<string, unknown>[]> {
  const directory = Deno.makeTempDirSync({ prefix: "bpf-generated-" });
  try {
    const paths = names.map((name) => {
      const path = `${directory}/${name}.ts`;
      Deno.writeTextFileSync(path, generateObject(compile(name), { name, library: LIBRARY }));
      return path;
    });
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", `--config=${CONFIG}`, ...paths],
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return await Promise.all(paths.map((path) => import(`file://${path}`)));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("a generated class has an object's maps, variables and programs", async () => {
  const [sample, variables] = await generated(["sample", "variables", "hooks"]);
  // deno-lint-ignore no-explicit-any
  const { Sample } = sample as any, { Variables, Mode } = variables as any;

  using first = Sample.open();
  first.variables.verdict().set(7);
  first.variables.address().set(new Uint8Array(16).fill(43));
  first.variables.offset().set(-1);
  first.load();
  using verdict = first.programs.tc_verdict(), counters = first.maps.counters();
  using flows = first.maps.flows(), ring = first.maps.events();
  assertEquals(verdict.testRun({ data: packet }).retval, 7);
  const counted = counters.get(0) as bigint[];
  assertEquals(counted.reduce((sum, one) => sum + one), 1n);
  assertEquals(ring.drain(() => {}), 1);
  const key = { source: 0x0a000001, port: 80, flags: 5, family: 9 };
  const flow = {
    packets: 3n,
    bytes: 4,
    mac: new Uint8Array([1, 2, 3, 4, 5, 6]),
    kind: 3,
    nested: { first: 1, second: 2 },
  };
  flows.set(key, flow);
  assertEquals([...flows.entries()], [[key, flow]]);
  using veth = temporaryVeth();
  using _link = first.attach.xdp_pass({ ifindex: veth.ifindex });

  // what C has written
  using second = Variables.open().load();
  using count = second.programs.count();
  const current = second.variables.current();
  current.set({ ...current.get(), mode: Mode.ON });
  assertEquals(count.testRun({ data: packet }).retval, 1);
  const { number, wide, on, name, signedFive } = current.get();
  assertEquals([number, wide, on, name, signedFive], [8, -4n, true, "first", -3]);
  assertEquals(second.variables.fixed().get().name, "start");
  assertThrows(
    () => current.set({ ...current.get(), signedFive: 16 }),
    RangeError,
    "5 signed bits",
  );
});

Deno.test("generateObject() wants BTF", () => {
  const file = compile("plain", { btf: false });
  assertThrows(() => generateObject(file, { library: LIBRARY }), RangeError, "compile it with -g");
});

Deno.test("generate.ts --check says when the module is not the object's", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "bpf-generated-" });
  const path = `${directory}/plain.bpf.o`;
  const run = async (...args: string[]) => {
    const script = new URL("../generate.ts", import.meta.url).pathname;
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", script, ...args],
    }).output();
    return [code, new TextDecoder().decode(stderr)] as const;
  };
  try {
    Deno.writeFileSync(path, compile("plain"));
    assertEquals((await run("--check", path))[0], 1);
    assertEquals(await run(path), [0, ""]);
    assertEquals(await run("--check", path), [0, ""]);
    const own = `${directory}/own.ts`;
    Deno.writeTextFileSync(own, "// mine");
    assertStringIncludes((await run(`--output=${own}`, path))[1], "was not generated");
    assertEquals(Deno.readTextFileSync(own), "// mine");
    assertEquals((await run())[0], 2);
    assertEquals((await run("--nothing", path))[1].split("\n")[0], "Unknown option '--nothing'");
    await assertRejects(() => Deno.stat(`${directory}/object.o`), Deno.errors.NotFound);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("types of the same name, words of TypeScript and names in use get names of their own", async () => {
  const file = compileBpf(`
    #include <linux/bpf.h>
    #include <bpf/bpf_helpers.h>
    char _license[] SEC("license") = "GPL";
    struct class { int value; int offset; };
    struct _class { union { int first; int second; }; union { long third; char fourth[8]; }; };
    enum Class { ONE_1, ONE_2 };
    struct odd { struct class a; struct _class b; enum Class c; };
    struct BpfMap { int a, b; };
    struct odd odd;
    struct BpfMap map;
    SEC("tc") int pass(void *ctx) { return odd.a.value + map.a; }
  `);
  const directory = Deno.makeTempDirSync({ prefix: "bpf-generated-" });
  try {
    const path = `${directory}/odd.ts`;
    Deno.writeTextFileSync(path, generateObject(file, { name: "odd", library: LIBRARY }));
    const { success, stderr } = new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", `--config=${CONFIG}`, path],
    }).outputSync();
    assertEquals([success, new TextDecoder().decode(stderr)], [true, ""]);
    // deno-lint-ignore no-explicit-any
    const { Odd } = await import(`file://${path}`) as any;
    using object = Odd.open();
    const value = { ...object.variables.odd().get(), a: { value: 7, offset: 8 } };
    object.variables.odd().set(value);
    assertEquals(object.variables.odd().get(), value);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

import { assert, assertEquals, assertThrows } from "@std/assert";
import { KernelError } from "./kernel_error.ts";
import { enableStatistics, kernelIds } from "./ids.ts";
import { attachSocketFilter } from "./link/socket_filter.ts";
import { attachTc } from "./link/tc.ts";
import { BpfLink } from "./link/link.ts";
import { attachXdp } from "./link/xdp.ts";
import { BpfMap } from "./map.ts";
import { BpfObject } from "./object.ts";
import { BpfProgram } from "./program.ts";
import { compile } from "./testdata/build.ts";
import { temporaryVeth } from "./testdata/lab.ts";

const sample = compile("sample");
const packet = new Uint8Array(60);

Deno.test("kernelIds() lists what is loaded, and byId() opens it", () => {
  using object = BpfObject.open(sample).load();
  using program = object.program("xdp_pass"), map = object.map("flows");
  using veth = temporaryVeth();
  using link = attachXdp(program, { ifindex: veth.ifindex });
  assert([...kernelIds("program")].includes(program.id));
  assert([...kernelIds("map")].includes(map.id));
  assert([...kernelIds("link")].includes(link.info().id));
  const { btf } = program.info();
  assert([...kernelIds("btf")].includes(btf));
  assertEquals(BpfMap.byId(map.id).name, "flows");
  assertEquals(BpfProgram.byId(program.id).info().tag, program.info().tag);
  using again = BpfLink.byId(link.info().id);
  assertEquals(again.info(), link.info());
  assertThrows(() => BpfLink.byId(0x7fff_fff0), KernelError, "ENOENT");
});

Deno.test("BpfProgram.info() tells what the kernel knows, with statistics while they are enabled", () => {
  using object = BpfObject.open(sample).load();
  using program = object.program("tc_verdict");
  const info = program.info();
  assertEquals([info.id, info.name, info.runs], [program.id, "tc_verdict", 0n]);
  assert(/^[0-9a-f]{16}$/.test(info.tag) && info.machineBytes > 0 && info.loadedAt > 0n);
  using _statistics = enableStatistics();
  program.testRun({ data: packet, repeat: 5 });
  const { runs, runTime } = program.info();
  assert(runs === 5n && runTime > 0n || runs === 0n, `${runs} runs in ${runTime} ns`);
});

Deno.test("a program of another type than a hook wants is named", () => {
  using object = BpfObject.open(sample).load();
  using xdp = object.program("xdp_pass"), tc = object.program("tc_verdict");
  const wrong: [() => unknown, string][] = [
    [() => attachXdp(tc, { ifindex: 1 }), "is of type SCHED_CLS, and this hook is for XDP"],
    [
      () => attachTc(xdp, { ifindex: 1, direction: "ingress" }),
      "XDP, and this hook is for SCHED_CLS",
    ],
    [() => attachSocketFilter(xdp, 0), "for SOCKET_FILTER"],
  ];
  for (const [attach, why] of wrong) assertThrows(attach, TypeError, why);
});

Deno.test("maps and programs that nobody has any more are closed", async () => {
  const module = new URL("./mod.ts", import.meta.url).href;
  const script = `
    import { BpfMap, MapType } from ${JSON.stringify(module)};
    const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
    const make = () => BpfMap.create({ name: "m", type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 });
    make()[Symbol.dispose]();
    const before = open();
    for (let i = 0; i < 200; i++) make();
    const most = open() - before;
    for (let i = 0; i < 50 && open() > before + 5; i++) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    console.log(most, open() - before);`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--v8-flags=--expose-gc", "--no-check", script],
  }).output();
  const [most = 0, left = 999] = new TextDecoder().decode(stdout).trim().split(" ").map(Number);
  assert(most > 100 && left <= 5, `${most}, ${left}: ${new TextDecoder().decode(stderr)}`);
});

/**
 * Loads, attaches, reads and drops what datapath/bpf has, over and over; exits 1 when descriptors, memory
 * or what the kernel holds have grown in the second half. Usage: deno run -A --v8-flags=--expose-gc scripts/bpf_churn.ts [MINUTES, default 10]
 */

import {
  attachCgroup,
  attachUprobe,
  BpfMap,
  BpfObject,
  kernelIds,
  MapType,
  PerfEventArray,
  RingBuffer,
  TypedMap,
  u32,
  u64,
} from "../datapath/bpf/mod.ts";
import { compile } from "../datapath/bpf/testdata/build.ts";
import { cgroupRoot } from "../datapath/bpf/testdata/lab.ts";

const minutes = Number(Deno.args[0] ?? 10);
const [sample, hooks, streams, rejected] = ["sample", "hooks", "streams", "rejected"]
  .map((name) => compile(name)) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
const packet = new Uint8Array(60);
const LIBC = `/lib/${Deno.build.arch}-linux-gnu/libc.so.6`;

async function round(): Promise<void> {
  {
    using object = await BpfObject.open(sample).loadElsewhere();
    using fill = object.program("tc_fill"), events = object.map("events");
    using ring = new RingBuffer(events);
    fill.testRun({ data: packet });
    await ring.wait(10);
    ring.drain(() => {});
    object.variable(object.variableNames[0]!).get();
  }
  {
    using object = BpfObject.open(hooks);
    object.setAutoload(["on_cgroup_skb", "on_uprobe"]);
    object.load();
    using one = object.program("on_cgroup_skb"), two = object.program("on_uprobe");
    using _first = attachCgroup(one, { cgroup: cgroupRoot() });
    using _second = attachUprobe(two, { path: LIBC, symbol: "geteuid" });
  }
  {
    using object = BpfObject.open(streams).load();
    using outputs = object.map("outputs");
    using array = new PerfEventArray(outputs);
    await array.wait(1);
  }
  try {
    using object = BpfObject.open(rejected);
    object.load();
  } catch {
    // as it should be
  }
  // dropped without dispose
  const options = { name: "dropped", keySize: 4, valueSize: 8, maxEntries: 10 };
  const map = new TypedMap(BpfMap.create({ ...options, type: MapType.HASH }), {
    key: u32,
    value: u64,
  });
  map.set(1, 2n);
}

interface Held {
  descriptors: number;
  /** KiB. */
  memory: number;
  objects: number;
}

async function held(): Promise<Held> {
  for (let i = 0; i < 3; i++) {
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const status = Deno.readTextFileSync("/proc/self/status");
  return {
    descriptors: [...Deno.readDirSync("/proc/self/fd")].length,
    memory: Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]),
    objects: [...kernelIds("map"), ...kernelIds("program"), ...kernelIds("link")].length,
  };
}

if (!("gc" in globalThis)) throw new Error("Run it with --v8-flags=--expose-gc");
const end = performance.now() + minutes * 60_000;
let rounds = 0, half: Held | undefined;
for (let next = 0; performance.now() < end; rounds++) {
  await round();
  if (performance.now() > end - minutes * 30_000) half ??= await held();
  if (performance.now() < next) continue;
  console.log(rounds, await held());
  next = performance.now() + minutes * 6000;
}
const last = await held();
console.log(rounds, last);
const grown = last.descriptors > half!.descriptors + 8 || last.memory > half!.memory * 1.05 + 4096;
if (grown) Deno.exit(1);

/** What the peers of this folder do, by datapath/bpf: ours.ts OBJECT */

import { BpfObject, RingBuffer, TypedMap, u64 } from "../../../datapath/bpf/mod.ts";

const ENTRIES = 10_000, EVENTS = 2000;
const packet = new Uint8Array(60);

using object = BpfObject.open(Deno.args[0]!).load();
using table = new TypedMap(object.map("table"), { key: u64, value: u64 });
const keys = Array.from({ length: ENTRIES }, (_, i) => BigInt(i));
const rows = keys.map((key): [bigint, bigint] => [key, key]);

/** The least mean of nanoseconds of the rounds; the first ones are for the compiler. */
function measure(name: string, work: () => void): void {
  let least = Infinity;
  for (let round = 0; round < 10; round++) {
    const start = performance.now();
    work();
    least = Math.min(least, (performance.now() - start) * 1e6 / ENTRIES);
  }
  console.log(name, least.toFixed(1));
}

measure("update", () => {
  for (const key of keys) table.set(key, key);
});
measure("lookup", () => {
  for (const key of keys) table.get(key);
});
measure("batch", () => table.setMany(rows));

using fill = object.program("fill"), one = object.program("one");
using ring = new RingBuffer(object.map("events"));
let sum = 0, least = Infinity;
for (let round = 0; round < 30; round++) {
  for (let i = 0; i < 30; i++) fill.testRun({ data: packet });
  const start = performance.now();
  const records = ring.drain((view, offset) => {
    sum += view.getUint32(offset, true);
  });
  least = Math.min(least, (performance.now() - start) * 1e6 / records);
}
console.log("record", least.toFixed(1));

/** In a worker of its own, as the others fire from a thread of their own. */
function inWorker(source: string): Worker {
  const library = new URL("../../../datapath/bpf/mod.ts", import.meta.url);
  const text = `import { BpfMap, BpfProgram, RingBuffer } from "${library}";${source}`;
  return new Worker(`data:text/javascript,${encodeURIComponent(text)}`, { type: "module" });
}
const fire = () =>
  inWorker(`
    const program = BpfProgram.byId(${one.id}), packet = new Uint8Array(60);
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (let i = 0; i < ${EVENTS}; i++) {
      Atomics.wait(pause, 0, 0, 0.5);
      program.testRun({ data: packet });
    }`);

/** A callback that notes how old records are, in the clock of bpf_ktime_get_ns. */
const note = `
  const { symbols: libc } = Deno.dlopen("libc.so.6", {
    clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  });
  const clock = new BigInt64Array(2);
  return (view, offset) => {
    libc.clock_gettime(1, clock);
    const now = clock[0] * 1_000_000_000n + clock[1];
    times.push(Number(now - view.getBigInt64(offset, true)) / 1000);
  };`;

function report(name: string, times: number[]): void {
  times.sort((a, b) => a - b);
  console.log(`p50${name}`, times[EVENTS / 2]!.toFixed(1));
  console.log(`p99${name}`, times[EVENTS * 0.99]!.toFixed(1));
}

const times: number[] = [];
const callback = new Function("times", note)(times);
let firing = fire();
while (times.length < EVENTS) {
  await ring.wait(1000);
  ring.drain(callback);
}
firing.terminate();
report("", times);

const reader = inWorker(`
  const ring = new RingBuffer(BpfMap.byId(${object.map("events").id}));
  const times = [], callback = new Function("times", ${JSON.stringify(note)})(times);
  postMessage(0);
  while (times.length < ${EVENTS}) {
    ring.waitSync(1000);
    ring.drain(callback);
  }
  postMessage(times);`);
const message = () =>
  new Promise<unknown>((resolve) => reader.onmessage = ({ data }) => resolve(data));
await message();
firing = fire();
report("-sync", await message() as number[]);
firing.terminate();
reader.terminate();

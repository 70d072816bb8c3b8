/**
 * How many records a second RingBuffer.drain() reads. Exits 1 below the floor.
 * Usage: deno run -A scripts/bench/ringbuf.ts [floor, records/s, default 10,000,000]
 */

import { BpfObject, RingBuffer } from "../../datapath/bpf/mod.ts";
import { compile } from "../../datapath/bpf/testdata/build.ts";

const floor = Number(Deno.args[0] ?? 10_000_000);
const ROUNDS = 200, FILLS = 60; // 1,000 records of 16 bytes a fill, into 1 MiB

using object = BpfObject.open(compile("sample"));
object.setAutoload(["tc_fill"]);
object.load();
using fill = object.program("tc_fill");
using map = object.map("events");
using ring = new RingBuffer(map);
const packet = new Uint8Array(60);

let records = 0, sum = 0, elapsed = 0;
for (let round = 0; round < ROUNDS; round++) {
  for (let i = 0; i < FILLS; i++) fill.testRun({ data: packet });
  const start = performance.now();
  records += ring.drain((view, offset) => {
    sum += view.getUint32(offset, true);
  });
  elapsed += performance.now() - start;
}
if (sum !== ROUNDS * FILLS * 499_500) throw new Error("records were lost or damaged");
const rate = Math.round(records / elapsed * 1000);
console.log(
  `ring buffer: ${rate.toLocaleString("en")} records/s (floor ${floor.toLocaleString("en")})`,
);
if (rate < floor) Deno.exit(1);

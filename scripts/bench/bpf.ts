/**
 * datapath/bpf beside cilium/ebpf (Go) and libbpf (C), in turns: the least of each, in nanoseconds; from a
 * record to its callback in microseconds. Exits 1 when ours takes longer than it may, in parts of Go's
 * time. Needs Go, and network or a module cache for its module.
 * Usage: deno run -A scripts/bench/bpf.ts [TURNS, default 5]
 */

import { compileBpf } from "../compile_bpf.ts";

/** What ours may take, in parts of Go's time. `-sync`: with a worker that waits for nothing else. */
const LIMITS: Readonly<Record<string, number>> = {
  update: 1,
  lookup: 1,
  batch: 1.1,
  record: 1,
  p50: 1.5,
  p99: 2,
};

const FOLDER = new URL("bpf/", import.meta.url).pathname;

function output(program: string, args: string[], cwd = FOLDER): string {
  const command = new Deno.Command(program, { args, cwd, stderr: "inherit" });
  const { success, stdout } = command.outputSync();
  if (!success) throw new Error(`${program} failed`);
  return new TextDecoder().decode(stdout);
}

function least(best: Map<string, number>, text: string): void {
  for (const line of text.trim().split("\n")) {
    const [name = "", value] = line.split(" ");
    best.set(name, Math.min(best.get(name) ?? Infinity, Number(value)));
  }
}

const work = Deno.makeTempDirSync({ prefix: "bench-bpf-" });
try {
  const object = `${work}/bench.o`;
  Deno.writeFileSync(object, compileBpf(`${FOLDER}bench.bpf.c`));
  output("clang-19", ["-O2", "-o", `${work}/c`, "bench.c", "-lbpf", "-lpthread"]);
  output("go", ["build", "-mod=readonly", "-o", `${work}/go`, "."], `${FOLDER}go`);
  const [ours, go, c] = [new Map(), new Map(), new Map()] as Map<string, number>[];
  for (let turn = Number(Deno.args[0] ?? 5); turn > 0; turn--) {
    least(c!, output(`${work}/c`, [object]));
    least(go!, output(`${work}/go`, [object]));
    least(ours!, output(Deno.execPath(), ["run", "-A", "--no-check", "ours.ts", object]));
  }
  let slow = false;
  console.log("               ours      Go       C   ours/Go");
  for (const [name, value] of ours!) {
    const kind = name.replace("-sync", "");
    const parts = value / go!.get(kind)!, limit = LIMITS[kind]!;
    // which of the two ways to wait is for those who want it soon
    const over = parts > limit && ours!.has(`${name}-sync`) === false;
    slow ||= over;
    const columns = [value, go!.get(kind)!, c!.get(kind)!].map((one) => one.toFixed(1).padStart(7));
    console.log(
      `${name.padEnd(10)}  ${columns.join(" ")}   ${parts.toFixed(2)} of ${limit}${
        over ? "  OVER" : ""
      }`,
    );
  }
  if (slow) Deno.exit(1);
} finally {
  Deno.removeSync(work, { recursive: true });
}

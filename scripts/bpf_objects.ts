/**
 * Loads the test objects of cilium/ebpf by datapath/bpf, by cilium/ebpf and by libbpf alone. Exits 1 when
 * the others agree to load one that we do not, or when our refusal has no reason. Needs Go.
 * Usage: deno run -A scripts/bpf_objects.ts
 */

import { BpfObject, KernelError } from "../datapath/bpf/mod.ts";

const GO = new URL("bench/bpf/go/", import.meta.url).pathname;
const LOAD = new URL("../datapath/bpf/testdata/load.c", import.meta.url).pathname;
const decoder = new TextDecoder();

function output(program: string, args: string[], cwd = GO): { success: boolean; text: string } {
  const { success, stdout } = new Deno.Command(program, { args, cwd, stderr: "null" }).outputSync();
  return { success, text: decoder.decode(stdout).trim() };
}

function* files(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* files(`${folder}/${name}`);
    else if (/(-el\.elf|bpfel\.o)$/.test(name)) yield `${folder}/${name}`;
  }
}

/** Why not; undefined when it loads. */
function refusal(file: string): string | undefined {
  try {
    using object = BpfObject.open(file);
    object.load();
    return undefined;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return error.log ?? error.hint ?? "";
  }
}

const work = Deno.makeTempDirSync({ prefix: "bpf-objects-" });
try {
  output("go", ["build", "-mod=readonly", "-o", `${work}/go`, "."]);
  output("clang-19", ["-o", `${work}/c`, LOAD, "-lbpf"]);
  const module = output("go", ["list", "-m", "-f", "{{.Dir}}", "github.com/cilium/ebpf"]).text;
  const counts = { all: 0, ours: 0, go: 0, libbpf: 0 };
  let wrong = 0;
  for (const file of [...files(module)].sort()) {
    const go = output(`${work}/go`, ["load", file]).text === "true";
    const libbpf = output(`${work}/c`, [file]).text === "0";
    const reason = refusal(file), ours = reason === undefined;
    counts.all++;
    for (const [name, loads] of Object.entries({ ours, go, libbpf })) {
      if (loads) counts[name as keyof typeof counts]++;
    }
    const bad = reason === "" || (go && libbpf && !ours);
    if (bad) wrong++;
    console.log(bad ? "WRONG" : "ok   ", file.slice(module.length + 1), { ours, go, libbpf });
    if (reason !== undefined) console.log(`        ${reason.split("\n")[0]}`);
  }
  console.log(counts);
  if (wrong > 0 || counts.all === 0) Deno.exit(1);
} finally {
  Deno.removeSync(work, { recursive: true });
}

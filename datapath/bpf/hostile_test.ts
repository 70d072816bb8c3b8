/** What ends a process is tried in a process of its own: objects with wrong bytes, calls of any order. */

import { assert, assertEquals } from "@std/assert";

const folder = new URL("testdata/", import.meta.url).pathname;
const decoder = new TextDecoder();

async function run(program: string, ...args: string[]) {
  const { code, signal, stdout, stderr } = await new Deno.Command(program, { args }).output();
  return { code, signal, lines: decoder.decode(stdout).trim().split("\n"), stderr };
}

const script = (name: string, ...args: (string | number)[]) =>
  run(Deno.execPath(), "run", "-A", "--no-check", `${folder}${name}.ts`, ...args.map(String));

/** Runs the numbers, again after each that ends the process; returns these. */
async function ending(from: number, to: number): Promise<number[]> {
  const found: number[] = [];
  for (let at = from; at < to;) {
    const { code, signal, lines, stderr } = await script("mutated", at, to);
    if (code === 0) break;
    const last = Number(lines.at(-1));
    assert(signal !== null, `Object ${last}: ${decoder.decode(stderr)}`);
    found.push(last);
    at = last + 1;
  }
  return found;
}

// libbpf 1.1 ends a process over some objects: those are its own, what it does not end over is ours
Deno.test("objects with wrong bytes end no process that libbpf alone does not end", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "bpf-mutated-" });
  try {
    const load = `${directory}/load`;
    const { code, stderr } = await run("cc", "-o", load, `${folder}load.c`, "-lbpf");
    assertEquals(code, 0, decoder.decode(stderr));
    for (const number of await ending(0, Number(Deno.env.get("MUTATED_OBJECTS") ?? 400))) {
      const file = `${directory}/${number}.o`;
      await script("mutated", number, 0, file);
      assert((await run(load, file)).signal !== null, `Object ${number} ends us, not libbpf`);
    }
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("calls of any order and with any values end no process", async () => {
  const { code, signal, lines, stderr } = await script("odd_calls", 0, 40);
  assertEquals([code, signal], [0, null], `Round ${lines.at(-1)}: ${decoder.decode(stderr)}`);
});

Deno.test("calls of two workers at once end no process", async () => {
  const { code, signal, lines, stderr } = await script("odd_calls", 0, 20, 2);
  assertEquals([code, signal], [0, null], `Round ${lines.at(-1)}: ${decoder.decode(stderr)}`);
});

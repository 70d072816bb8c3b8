/** Each example runs, and sees what it is for. */

import { assert } from "@std/assert";

interface Example {
  name: string;
  arguments: string[];
  /** What makes something to be seen. */
  cause?: () => unknown;
  output: RegExp;
  /** Why it cannot run where the kernel lacks what it is about. */
  unless?: RegExp;
}

const cgroup = Deno.readTextFileSync("/proc/self/mounts").split("\n")
  .map((line) => line.split(" ")).find((fields) => fields[2] === "cgroup2")?.[1] ?? "";
const connect = () => Deno.connect({ hostname: "127.0.0.1", port: 7100 }).catch(() => {});
const run = () => new Deno.Command("env").output();

const examples: Example[] = [
  { name: "xdp", arguments: ["lo", "2"], cause: connect, output: /^0800 [1-9]\d*n$/m },
  {
    name: "tcx",
    arguments: ["lo", "2"],
    cause: connect,
    output: /^received [1-9]\d*, sent [1-9]/m,
  },
  { name: "cgroup_skb", arguments: [cgroup, "2"], cause: connect, output: /^[1-9]\d*n packets$/m },
  { name: "ringbuffer", arguments: ["2"], cause: run, output: /command: "env"/ },
  { name: "tracepoint", arguments: ["2"], output: /^[1-9]\d*n context/m, unless: /no tracefs/ },
  { name: "kprobe", arguments: ["2"], output: /^removed, by CPU: \[/m, unless: /no kprobes/ },
  {
    name: "fentry",
    arguments: ["2"],
    cause: connect,
    output: /^[1-9]\d*n conn/m,
    unless: /nobody/,
  },
  { name: "uretprobe", arguments: ["2"], cause: run, output: /(found|missing) [1-9]/ },
  { name: "map_in_map", arguments: ["lo", "2"], cause: connect, output: /^[1-9]\d*n packets$/m },
  { name: "iter", arguments: [], output: /^\d+\tdeno$/m },
  {
    name: "sk_lookup",
    arguments: ["7100", "2"],
    cause: connect,
    output: /^[1-9]\d*n connections/m,
  },
];

// each takes two seconds of waiting: all at once
Deno.test("the examples run", async (t) => {
  const directory = new URL(".", import.meta.url).pathname;
  const causes = examples.map(({ cause }) => cause).filter((cause) => cause !== undefined);
  const timer = setInterval(() => causes.forEach((cause) => void cause()), 300);
  const results = examples.map(async ({ name, arguments: rest }) => {
    const args = ["run", "-A", "--no-check", `${directory}${name}.ts`, ...rest];
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    const decoder = new TextDecoder();
    return { success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  });
  await Promise.all(results);
  clearInterval(timer);
  for (const [i, { name, output, unless }] of examples.entries()) {
    const { success, stdout, stderr } = await results[i]!;
    await t.step({
      name,
      ignore: unless?.test(stderr) ?? false,
      fn: () => assert(success && output.test(stdout), stdout + stderr),
    });
  }
  // the last ones that were begun
  await new Promise((resolve) => setTimeout(resolve, 200));
});

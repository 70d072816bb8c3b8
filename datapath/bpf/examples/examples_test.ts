/** Each example runs, and sees what it is for. */

import { assert } from "@std/assert";

interface Example {
  name: string;
  arguments: string[];
  output: RegExp;
  /** What it says where the kernel lacks what it is about. */
  unless?: RegExp;
}

const cgroup = Deno.readTextFileSync("/proc/self/mounts").split("\n")
  .map((line) => line.split(" ")).find((fields) => fields[2] === "cgroup2")?.[1] ?? "";

/**
 * Runs a program in namespaces of its own, with tracefs, while something happens there: programs start,
 * connections to a port are tried.
 */
const SURROUNDINGS = `
ip link set lo up
mount -t tracefs tracefs /sys/kernel/tracing
while sleep 0.2; do
  env >/dev/null
  (exec 3<>/dev/tcp/127.0.0.1/7100) 2>/dev/null
done &
"$@"
code=$?
kill $!
exit $code`;

const examples: Example[] = [
  { name: "xdp", arguments: ["lo", "2"], output: /^0800 [1-9]\d*n$/m },
  { name: "tcx", arguments: ["lo", "2"], output: /^received [1-9]\d*, sent [1-9]/m },
  { name: "cgroup_skb", arguments: [cgroup, "2"], output: /^[1-9]\d*n packets$/m },
  { name: "ringbuffer", arguments: ["2"], output: /command: "env"/ },
  { name: "tracepoint", arguments: ["2"], output: /^[1-9]\d*n context/m, unless: /no tracefs/ },
  { name: "kprobe", arguments: ["2"], output: /^removed, by CPU: \[/m, unless: /no kprobes/ },
  { name: "fentry", arguments: ["2"], output: /^[1-9]\d*n connections/m, unless: /nobody/ },
  { name: "uretprobe", arguments: ["2"], output: /(found|missing) [1-9]/ },
  { name: "map_in_map", arguments: ["lo", "2"], output: /^[1-9]\d*n packets$/m },
  { name: "iter", arguments: [], output: /^\d+\tdeno$/m },
  {
    name: "struct_ops",
    arguments: ["2"],
    output: /\bsteady\b/,
    unless: /Linux 6.4|registered already/,
  },
  { name: "sk_lookup", arguments: ["7100", "2"], output: /^[1-9]\d*n connections/m },
];

// each takes two seconds of waiting: all at once
Deno.test("the examples run", async (t) => {
  const directory = new URL(".", import.meta.url).pathname;
  const decoder = new TextDecoder();
  const results = await Promise.all(examples.map(async ({ name, arguments: rest }) => {
    const run = [Deno.execPath(), "run", "-A", "--no-check", `${directory}${name}.ts`, ...rest];
    const args = ["-n", "-m", "bash", "-c", SURROUNDINGS, "bash", ...run];
    const { success, stdout, stderr } = await new Deno.Command("unshare", { args }).output();
    return { success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }));
  for (const [i, { name, output, unless }] of examples.entries()) {
    const { success, stdout, stderr } = results[i]!;
    await t.step({
      name,
      ignore: unless?.test(stderr) ?? false,
      fn: () => assert(success && output.test(stdout), stdout + stderr),
    });
  }
});

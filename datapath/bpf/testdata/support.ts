/**
 * What of the library works on this kernel, by trying each kind of hook and of map.
 * Usage: support.ts: says it of this kernel; support.ts FILE…: a table of what it said on several
 */

import { KernelError } from "../kernel_error.ts";
import { hooks, tryHook } from "./hook_table.ts";
import { otherHooks } from "./other_hooks.ts";
import { mapKinds, tryMapKind } from "./map_table.ts";

/** By the kind of hook or map, "works" or why it does not. */
export interface Support {
  kernel: string;
  hooks: Record<string, string>;
  maps: Record<string, string>;
}

/** "works", or why not. */
export async function result(attempt: () => void | Promise<void>): Promise<string> {
  try {
    await attempt();
    return "works";
  } catch (error) {
    if (!(error instanceof KernelError)) return (error as Error).message.split("\n")[0]!;
    const { code, hint, log } = error;
    return `${code}: ${hint ?? log?.trim().split("\n").at(-1) ?? error.message}`;
  }
}

export async function support(): Promise<Support> {
  const found: Support = { kernel: Deno.osRelease(), hooks: {}, maps: {} };
  for (const hook of hooks) found.hooks[hook.title] = await result(() => tryHook(hook));
  for (const [name, attempt] of Object.entries(otherHooks)) {
    found.hooks[name] = await result(attempt);
  }
  for (const kind of mapKinds) found.maps[kind] = await result(() => tryMapKind(kind));
  return found;
}

/** In Markdown, a column for each kernel; the reasons stand below. */
export function supportTable(columns: readonly Support[]): string {
  const reasons: string[] = [];
  const cell = (said: string) => {
    if (said === "works") return "works";
    if (!reasons.includes(said)) reasons.push(said);
    return `no (${reasons.indexOf(said) + 1})`;
  };
  const table = (title: string, part: "hooks" | "maps") => [
    `| ${title} | ${columns.map(({ kernel }) => kernel).join(" | ")} |`,
    `|---|${"---|".repeat(columns.length)}`,
    ...Object.keys(columns[0]![part]).map((name) =>
      `| ${name} | ${columns.map((one) => cell(one[part][name] ?? "not tried")).join(" | ")} |`
    ),
  ];
  const lines = [...table("Hook", "hooks"), "", ...table("Map", "maps")];
  const head = [
    "# What works where",
    "",
    "Made by `scripts/bpf_support.sh`, which tries each on the kernel: a hook is seen to fire while it is",
    "attached, and to do no more after detach, when its pin is removed, and when its process is killed",
    "(from iter on: as far as that kind is held by a link). USDT is as uprobe.",
    "",
  ];
  return [...head, ...lines, "", ...reasons.map((reason, i) => `${i + 1}. ${reason}`), ""].join(
    "\n",
  );
}

if (import.meta.main) {
  if (Deno.args.length === 0) {
    console.log(JSON.stringify(await support()));
  } else {
    // what else was said on the way is not of it
    const columns = Deno.args.map((file): Support => {
      const line = Deno.readTextFileSync(file).split("\n").find((one) => one.startsWith("{"));
      return JSON.parse(line!);
    });
    Deno.stdout.writeSync(new TextEncoder().encode(supportTable(columns)));
  }
}

/** What libbpf says while it works: its own reasons, of which errno tells little. */

import { libbpf } from "./libbpf.ts";
import { fromCstring } from "./memory.ts";

/** enum libbpf_print_level: what is larger is for who debugs libbpf. */
const LIBBPF_WARN = 0;
const MAX_LINES = 20;

const libc = Deno.dlopen("libc.so.6", {
  vsnprintf: { parameters: ["buffer", "usize", "pointer", "pointer"], result: "i32" },
}).symbols;

const line = new Uint8Array(1024);
let lines: string[] = [];
function print(level: number, format: Deno.PointerValue, values: Deno.PointerValue): number {
  if (level > LIBBPF_WARN || lines.length === MAX_LINES) return 0;
  libc.vsnprintf(line, BigInt(line.length), format, values);
  lines.push(
    ...fromCstring(line).trimEnd().split("\n").map((text) => text.replace(/^libbpf: /, "")),
  );
  return 0;
}

/**
 * Runs the work, which calls libbpf on this thread, while no other does: a callback from another one ends
 * the process. Returns its result and the warnings, oldest first.
 */
export function withLibbpfLog<T>(work: () => T): { result: T; warnings: string[] } {
  const callback = new Deno.UnsafeCallback(
    { parameters: ["i32", "pointer", "pointer"], result: "i32" },
    print,
  );
  const outer = lines;
  lines = [];
  libbpf.libbpf_set_print(callback.pointer);
  try {
    return { result: work(), warnings: lines };
  } finally {
    libbpf.libbpf_set_print(null);
    callback.close();
    lines = outer;
  }
}

/** System calls that no library wraps, by number; they return a negative errno on failure. */

import { errno } from "./libc.ts";

/** Numbers: asm/unistd_64.h of x86-64, asm-generic/unistd.h of arm64. */
const NUMBERS = {
  x86_64: { bpf: 321n, perf_event_open: 298n },
  aarch64: { bpf: 280n, perf_event_open: 241n },
} as const;

const numbers = NUMBERS[Deno.build.arch];

// variadic in C; on both machines such arguments go in the same registers as named ones
const { symbols: c } = Deno.dlopen("libc.so.6", {
  bpf: {
    name: "syscall",
    parameters: ["i64", "i64", "buffer", "u64"],
    result: "i64",
  },
  perf_event_open: {
    name: "syscall",
    parameters: ["i64", "buffer", "i64", "i64", "i64", "u64"],
    result: "i64",
  },
});

/** bpf(2): a command with its union bpf_attr. Returns what the command does, or a negative errno. */
export function bpf(command: number, attr: Uint8Array<ArrayBuffer>): number {
  const result = Number(c.bpf(numbers.bpf, BigInt(command), attr, BigInt(attr.length)));
  return result < 0 ? -errno() : result;
}

/** perf_event_open(2), close-on-exec and without a group. Returns a descriptor, or a negative errno. */
export function perfEventOpen(attr: Uint8Array<ArrayBuffer>, pid: number, cpu: number): number {
  const PERF_FLAG_FD_CLOEXEC = 8n;
  const result = Number(
    c.perf_event_open(
      numbers.perf_event_open,
      attr,
      BigInt(pid),
      BigInt(cpu),
      -1n,
      PERF_FLAG_FD_CLOEXEC,
    ),
  );
  return result < 0 ? -errno() : result;
}

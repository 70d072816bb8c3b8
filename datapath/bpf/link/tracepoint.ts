/** Programs at the kernel's tracepoints, with the fields that tracefs describes. */

import { ERRNO, KernelError } from "../kernel_error.ts";
import { exists } from "../exists.ts";
import { type BpfProgram, requireType } from "../program.ts";
import type { BpfLink } from "./link.ts";
import { attachPerfEvent } from "./perf_event.ts";

const PERF_TYPE_TRACEPOINT = 2;
/** Where tracefs is mounted, by itself or in debugfs. */
const TRACEFS = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/** Options for {@linkcode attachTracepoint}. */
export interface AttachTracepointOptions {
  /** As the directory of tracefs, "syscalls". */
  category: string;
  /** "sys_enter_openat". */
  name: string;
  /** What bpf_get_attach_cookie() gives the program. @default {0n} */
  cookie?: bigint;
}

/** Attaches a TRACEPOINT program. Throws KernelError. */
export function attachTracepoint(program: BpfProgram, options: AttachTracepointOptions): BpfLink {
  requireType(program, "TRACEPOINT");
  const { category, name, cookie = 0n } = options;
  return attachPerfEvent(program, {
    type: PERF_TYPE_TRACEPOINT,
    config: BigInt(tracepointId(category, name)),
    cookie,
    where: `tracepoint ${category}/${name}`,
  });
}

function tracepointId(category: string, name: string): number {
  const target = `tracepoint ${category}/${name}`;
  if (![category, name].every((part) => /^\w+$/.test(part))) {
    throw new TypeError(`A tracepoint is named by letters, digits and _: not ${category}/${name}`);
  }
  for (const root of TRACEFS) {
    try {
      return Number(Deno.readTextFileSync(`${root}/events/${category}/${name}/id`));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  const mounted = TRACEFS.some((root) => exists(`${root}/events`));
  throw new KernelError({
    operation: "find",
    target,
    errno: ERRNO.ENOENT,
    hint: mounted
      ? `${TRACEFS[0]}/events has no such tracepoint`
      : `no tracefs is mounted; run: mount -t tracefs tracefs ${TRACEFS[0]}`,
  });
}

/** Programs at tracepoints that get the tracepoint's own arguments. */

import { type BpfProgram, requireType } from "../program.ts";
import { openRawTracepoint } from "./create.ts";
import type { BpfLink } from "./link.ts";
import { stringTable } from "./tables.ts";

/** Attaches a RAW_TRACEPOINT program to the tracepoint of that name, "sched_switch". Throws KernelError. */
export function attachRawTracepoint(program: BpfProgram, name: string): BpfLink {
  requireType(program, "RAW_TRACEPOINT", "RAW_TRACEPOINT_WRITABLE");
  using names = stringTable([name]);
  return openRawTracepoint(program, names.addresses[0]!, `raw tracepoint ${name}`);
}

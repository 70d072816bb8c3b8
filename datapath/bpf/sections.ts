/** What the section of a program says: its type, and where it is attached. */

import { AttachType, ProgramType } from "./constants.ts";
import { attachIter } from "./link/iter.ts";
import { attachKprobe } from "./link/kprobe.ts";
import type { BpfLink } from "./link/link.ts";
import { attachNetns } from "./link/netns.ts";
import { attachRawTracepoint } from "./link/raw_tracepoint.ts";
import { attachTracepoint } from "./link/tracepoint.ts";
import { attachTracing } from "./link/tracing.ts";
import { attachUprobe } from "./link/uprobe.ts";
import type { BpfProgram } from "./program.ts";

/** What a section is for. */
export interface SectionType {
  /** One of `ProgramType`. */
  type: number;
  /** One of `AttachType`; 0 where the type has none. */
  attachType: number;
}

const { SCHED_CLS, NETFILTER, KPROBE } = ProgramType;

/** Sections that libbpf 1.1 does not know. */
const LATER: readonly (SectionType & { name: RegExp })[] = [
  { name: /^tcx?\/ingress$/, type: SCHED_CLS, attachType: AttachType.TCX_INGRESS },
  { name: /^tcx?\/egress$/, type: SCHED_CLS, attachType: AttachType.TCX_EGRESS },
  { name: /^tcx?\//, type: SCHED_CLS, attachType: 0 },
  { name: /^netkit\/primary$/, type: SCHED_CLS, attachType: AttachType.NETKIT_PRIMARY },
  { name: /^netkit\/peer$/, type: SCHED_CLS, attachType: AttachType.NETKIT_PEER },
  { name: /^netfilter$/, type: NETFILTER, attachType: AttachType.NETFILTER },
  { name: /^u(ret)?probe\.multi/, type: KPROBE, attachType: AttachType.TRACE_UPROBE_MULTI },
];

/** Of a section that is newer than the oldest libbpf; undefined for others. */
export function laterSection(section: string): SectionType | undefined {
  return LATER.find(({ name }) => name.test(section));
}

/** A way to attach by what follows the first `/` of a section. */
type Attach = (program: BpfProgram, rest: string) => BpfLink;

const tracing: Attach = (program) => attachTracing(program);
const rawTracepoint: Attach = (program, name) => attachRawTracepoint(program, name);
const kprobe = (retprobe: boolean): Attach => (program, rest) => {
  const [, symbol = rest, offset = "0"] = /^(.+)\+(\w+)$/.exec(rest) ?? [];
  return attachKprobe(program, { symbol, offset: Number(offset), retprobe });
};
const uprobe = (retprobe: boolean): Attach => (program, rest) => {
  const [, path, symbol, offset = "0"] = /^(.+):([^:+]+)(?:\+(\w+))?$/.exec(rest) ?? [];
  if (path === undefined || symbol === undefined) {
    throw new RangeError(`Section of program ${program.name} names no path:symbol: ${rest}`);
  }
  return attachUprobe(program, { path, symbol, offset: Number(offset), retprobe });
};
const tracepoint: Attach = (program, rest) => {
  const [category = "", name = ""] = rest.split("/");
  return attachTracepoint(program, { category, name });
};

/** By the first part of a section, without the `.s` of programs that may sleep. */
const ATTACH: Readonly<Record<string, Attach>> = {
  kprobe: kprobe(false),
  kretprobe: kprobe(true),
  uprobe: uprobe(false),
  uretprobe: uprobe(true),
  tracepoint,
  tp: tracepoint,
  raw_tp: rawTracepoint,
  raw_tracepoint: rawTracepoint,
  "raw_tp.w": rawTracepoint,
  "raw_tracepoint.w": rawTracepoint,
  tp_btf: tracing,
  fentry: tracing,
  fexit: tracing,
  fmod_ret: tracing,
  lsm: tracing,
  freplace: tracing,
  iter: (program) => attachIter(program),
  sk_lookup: (program) => attachNetns(program),
  flow_dissector: (program) => attachNetns(program),
};

/**
 * Attaches to what the section names. Throws RangeError for one that names no place, as those of tc, XDP
 * and cgroups: their functions want a device or a directory. Throws KernelError.
 */
export function attachBySection(program: BpfProgram, section: string): BpfLink {
  const [first = "", ...parts] = section.split("/");
  const kind = first.replace(/\.s$/, "");
  const attach = Object.hasOwn(ATTACH, kind) ? ATTACH[kind] : undefined;
  const rest = parts.join("/");
  const named = rest !== "" || /^(sk_lookup|flow_dissector)$/.test(kind);
  if (attach && named) return attach(program, rest);
  throw new RangeError(
    `Section ${section} of program ${program.name} does not say where to attach: ` +
      "call the attach function of its kind",
  );
}

/** Programs at perf events: samples of a clock or a counter, and what other kinds of probe are made of. */

import { FileDescriptor, ioctlNumber } from "../ffi/libc.ts";
import { perfEventOpen } from "../ffi/syscall.ts";
import { ERRNO, KernelError } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { checkBpf } from "../errors.ts";
import type { BpfProgram } from "../program.ts";
import { createLink } from "./create.ts";
import type { BpfLink } from "./link.ts";
import { stringTable } from "./tables.ts";

/** Bytes of struct perf_event_attr, PERF_ATTR_SIZE_VER5. */
const ATTR_SIZE = 112;
/** PERF_EVENT_IOC_ENABLE, include/uapi/linux/perf_event.h. */
const IOC_ENABLE = 0x2400;
/** The bit of attr.flags by which sample_period is a frequency. */
const FREQUENCY = 1n << 10n;

/** A perf event: fields of struct perf_event_attr by their name there. */
export interface PerfEvent {
  /** PERF_TYPE_HARDWARE 0, SOFTWARE 1, TRACEPOINT 2 …, or the number of a PMU. */
  type: number;
  /** Which event of that type. */
  config: bigint;
  /** More of it, as the type has it. */
  config1?: bigint;
  /** More of it, as the type has it. */
  config2?: bigint;
  /** Events a sample. */
  samplePeriod?: number;
  /** Samples a second, instead of a period. */
  sampleFrequency?: number;
  /** -1: every process. @default {-1} */
  pid?: number;
  /** -1: any, for one process. @default {0 for every process, else -1} */
  cpu?: number;
}

/** Options for {@linkcode attachPerfEvent}. */
export interface AttachPerfEventOptions extends PerfEvent {
  /** What bpf_get_attach_cookie() gives the program. @default {0n} */
  cookie?: bigint;
  /** For errors. @default {"perf event"} */
  where?: string;
  /** What to do about a negative errno. */
  hint?: (result: number) => string | undefined;
}

/** Opens the event, attaches the program to it and enables it. Throws KernelError. */
export function attachPerfEvent(program: BpfProgram, options: AttachPerfEventOptions): BpfLink {
  const { cookie = 0n, where = "perf event", hint } = options;
  using event = openPerfEvent(options, where, hint);
  const link = createLink({
    source: program,
    target: event.fd,
    attachType: AttachType.PERF_EVENT,
    more: (attr) => attr.setBigUint64(16, cookie, true),
    where,
    ...hint ? { hint } : {},
  });
  try {
    ioctlNumber(event.fd, IOC_ENABLE, 0n, "enable", where);
    return link;
  } catch (error) {
    link[Symbol.dispose]();
    throw error;
  }
}

function openPerfEvent(
  event: PerfEvent,
  where: string,
  hint: AttachPerfEventOptions["hint"],
): FileDescriptor {
  const { pid = -1, cpu = pid === -1 ? 0 : -1, sampleFrequency } = event;
  const attr = new DataView(new ArrayBuffer(ATTR_SIZE));
  attr.setUint32(0, event.type, true);
  attr.setUint32(4, ATTR_SIZE, true);
  attr.setBigUint64(8, event.config, true);
  attr.setBigUint64(16, BigInt(sampleFrequency ?? event.samplePeriod ?? 0), true);
  attr.setBigUint64(40, sampleFrequency === undefined ? 0n : FREQUENCY, true);
  attr.setUint32(48, 1, true); // a wake-up an event, where somebody waits
  attr.setBigUint64(56, event.config1 ?? 0n, true);
  attr.setBigUint64(64, event.config2 ?? 0n, true);
  const result = perfEventOpen(new Uint8Array(attr.buffer), pid, cpu);
  return new FileDescriptor(checkBpf(result, "open", where, hint?.(result)));
}

/** A probe of a function of the kernel, or of the code in a file. */
export interface Probe {
  /** What the kernel calls it. */
  pmu: "kprobe" | "uprobe";
  /** The function's name, or the file's path. */
  name: string;
  /** From the beginning of the function or file, in bytes. */
  offset: number;
  /** At the end of the function. */
  retprobe: boolean;
  /** One process alone. @default {all} */
  pid?: number | undefined;
  /** What bpf_get_attach_cookie() gives the program. */
  cookie: bigint;
  /** For errors. */
  where: string;
  /** What to do about a negative errno. */
  hint?: (result: number) => string | undefined;
}

/** Attaches to a probe of a PMU that the kernel makes at run time. Throws KernelError, EOPNOTSUPP where it has none. */
export function attachProbe(program: BpfProgram, probe: Probe): BpfLink {
  const { pmu, name, offset, retprobe, pid, where, ...rest } = probe;
  let type: number;
  try {
    type = Number(Deno.readTextFileSync(`/sys/bus/event_source/devices/${pmu}/type`));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new KernelError({
      operation: `attach program ${program.name} to`,
      target: where,
      errno: ERRNO.EOPNOTSUPP,
      hint: `the kernel has no ${pmu}s (CONFIG_${pmu.toUpperCase()}S and CONFIG_PERF_EVENTS)`,
    });
  }
  using names = stringTable([name]);
  return attachPerfEvent(program, {
    type,
    config: retprobe ? 1n : 0n,
    config1: names.addresses[0]!,
    config2: BigInt(offset),
    ...pid === undefined ? {} : { pid },
    where,
    ...rest,
  });
}

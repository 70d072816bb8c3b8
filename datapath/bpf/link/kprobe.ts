/** Programs at the beginning and the end of the kernel's functions. */

import { ERRNO } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { type BpfProgram, requireType } from "../program.ts";
import { createLink } from "./create.ts";
import type { BpfLink } from "./link.ts";
import { attachProbe } from "./perf_event.ts";
import { checkFunctions, numberTable, stringTable } from "./tables.ts";

/** BPF_F_KPROBE_MULTI_RETURN. */
const MULTI_RETURN = 1;

/** Options for {@linkcode attachKprobe}. */
export interface AttachKprobeOptions {
  /** A function of the kernel or of a module. */
  symbol: string;
  /** Bytes from its beginning. @default {0} */
  offset?: number;
  /** At its end; the program is a kretprobe. @default {false} */
  retprobe?: boolean;
  /** What bpf_get_attach_cookie() gives the program. @default {0n} */
  cookie?: bigint;
}

/** Attaches a KPROBE program to a function of the kernel. Throws KernelError. */
export function attachKprobe(program: BpfProgram, options: AttachKprobeOptions): BpfLink {
  requireType(program, "KPROBE");
  const { symbol, offset = 0, retprobe = false, cookie = 0n } = options;
  const where = `${retprobe ? "kretprobe" : "kprobe"} ${symbol}${offset ? `+${offset}` : ""}`;
  return attachProbe(program, {
    pmu: "kprobe",
    name: symbol,
    offset,
    retprobe,
    cookie,
    where,
    hint: (result) =>
      result === -ERRNO.ENOENT || result === -ERRNO.EINVAL
        ? "the kernel has no such function, or one that cannot be probed; see /proc/kallsyms"
        : result === -ERRNO.EADDRNOTAVAIL
        ? "there are several functions of that name"
        : undefined,
  });
}

/** Options for {@linkcode attachKprobeMulti}. */
export interface AttachKprobeMultiOptions {
  /** Functions of the kernel or of modules. */
  symbols: readonly string[];
  /** At their end. @default {false} */
  retprobe?: boolean;
  /** For each symbol what bpf_get_attach_cookie() gives. @default {none} */
  cookies?: readonly bigint[];
}

/** Attaches a KPROBE program, section `kprobe.multi`, to many functions by one link. Throws KernelError. */
export function attachKprobeMulti(program: BpfProgram, options: AttachKprobeMultiOptions): BpfLink {
  requireType(program, "KPROBE");
  const { symbols, retprobe = false, cookies } = options;
  checkFunctions(symbols, cookies);
  using names = stringTable(symbols);
  using pointers = numberTable(names.addresses);
  using numbers = numberTable(cookies ?? []);
  return createLink({
    source: program,
    attachType: AttachType.TRACE_KPROBE_MULTI,
    more(attr) {
      attr.setUint32(16, retprobe ? MULTI_RETURN : 0, true);
      attr.setUint32(20, symbols.length, true);
      attr.setBigUint64(24, pointers.address, true);
      if (cookies) attr.setBigUint64(40, numbers.address, true);
    },
    where: `${symbols.length} functions by kprobe.multi`,
    hint: (result) =>
      result === -ERRNO.EOPNOTSUPP
        ? "the kernel has no fprobe (CONFIG_FPROBE)"
        : result === -ERRNO.ESRCH || result === -ERRNO.EINVAL
        ? "one of them is not there, or cannot be traced; see available_filter_functions of tracefs"
        : undefined,
  });
}

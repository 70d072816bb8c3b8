/** Programs at the beginning and the end of functions of programs and libraries. */

import { ERRNO } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { functionOffset } from "../elf.ts";
import { type BpfProgram, requireType } from "../program.ts";
import { createLink } from "./create.ts";
import type { BpfLink } from "./link.ts";
import { attachProbe } from "./perf_event.ts";
import { checkFunctions, numberTable, stringTable } from "./tables.ts";

/** BPF_F_UPROBE_MULTI_RETURN. */
const MULTI_RETURN = 1;

/** Where in a file of code. */
export interface UprobePlace {
  /** A program or library; the probe is at every process that runs it, later ones too. */
  path: string;
  /** A function of its symbol tables. Give this, or `offset`, or both. */
  symbol?: string;
  /** Bytes from the beginning of the function, else of the file. @default {0} */
  offset?: number;
}

/** Options for {@linkcode attachUprobe}. */
export interface AttachUprobeOptions extends UprobePlace {
  /** One process alone. @default {all} */
  pid?: number;
  /** At its end; the program is a uretprobe. @default {false} */
  retprobe?: boolean;
  /** What bpf_get_attach_cookie() gives the program. @default {0n} */
  cookie?: bigint;
}

/** Attaches a KPROBE program, section `uprobe`, to code of processes. Throws KernelError, RangeError. */
export function attachUprobe(program: BpfProgram, options: AttachUprobeOptions): BpfLink {
  requireType(program, "KPROBE");
  const { path, symbol, pid, retprobe = false, cookie = 0n } = options;
  const where = `${retprobe ? "uretprobe" : "uprobe"} ${path}:${symbol ?? options.offset}`;
  const offset = offsetOf(options);
  return attachProbe(program, { pmu: "uprobe", name: path, offset, retprobe, pid, cookie, where });
}

/** Options for {@linkcode attachUprobeMulti}. */
export interface AttachUprobeMultiOptions {
  /** A program or library. */
  path: string;
  /** Functions, each by its name. */
  symbols: readonly string[];
  /** One process alone. @default {all} */
  pid?: number;
  /** At their end. @default {false} */
  retprobe?: boolean;
  /** For each symbol what bpf_get_attach_cookie() gives. @default {none} */
  cookies?: readonly bigint[];
}

/** Attaches a KPROBE program, section `uprobe.multi` (Linux 6.6), by one link. Throws KernelError, RangeError. */
export function attachUprobeMulti(program: BpfProgram, options: AttachUprobeMultiOptions): BpfLink {
  requireType(program, "KPROBE");
  const { path, symbols, pid = 0, retprobe = false, cookies } = options;
  checkFunctions(symbols, cookies);
  const file = Deno.readFileSync(path);
  using names = stringTable([path]);
  using offsets = numberTable(
    symbols.map((symbol) => BigInt(requireFunction(file, path, symbol))),
  );
  using numbers = numberTable(cookies ?? []);
  return createLink({
    source: program,
    attachType: AttachType.TRACE_UPROBE_MULTI,
    more(attr) {
      attr.setBigUint64(16, names.addresses[0]!, true);
      attr.setBigUint64(24, offsets.address, true);
      if (cookies) attr.setBigUint64(40, numbers.address, true);
      attr.setUint32(48, symbols.length, true);
      attr.setUint32(52, retprobe ? MULTI_RETURN : 0, true);
      attr.setUint32(56, pid, true);
    },
    where: `${symbols.length} functions of ${path} by uprobe.multi`,
    hint: (result) =>
      result === -ERRNO.EINVAL
        ? "the kernel has no uprobe.multi (Linux 6.6), or the program is of another section"
        : undefined,
  });
}

function offsetOf({ path, symbol, offset }: UprobePlace): number {
  if (symbol === undefined && offset === undefined) {
    throw new RangeError(`Give a symbol of ${path}, or an offset in it`);
  }
  const start = symbol === undefined ? 0 : requireFunction(Deno.readFileSync(path), path, symbol);
  return start + (offset ?? 0);
}

function requireFunction(file: Uint8Array, path: string, symbol: string): number {
  const offset = functionOffset(file, symbol);
  if (offset !== undefined) return offset;
  throw new RangeError(`${path} has no function ${symbol} in its symbol tables; give its offset`);
}

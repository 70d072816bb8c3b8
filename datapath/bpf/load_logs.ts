/** Why an object could not be loaded: the verifier's words, libbpf's, or what an errno means here. */

import { geteuid } from "./ffi/libc.ts";
import { libbpf } from "./ffi/libbpf.ts";
import { fromCstring, NativeMemory } from "./ffi/memory.ts";
import { ERRNO, type KernelError } from "./kernel_error.ts";
import { bpfError } from "./errors.ts";
import { kernelBtfMissing } from "./features.ts";

const LOG_SIZE = 16 << 20; // virtual: only what the verifier writes takes memory
const LOG_LINES = 24;

/** What the verifier says of an object's programs. Needed until they are loaded. */
export class LoadLogs implements Disposable {
  readonly #object: string;
  readonly #logs = new Map<string, NativeMemory>();

  /** @param programs those that will be loaded, by name */
  constructor(object: string, programs: ReadonlyMap<string, Deno.PointerObject>) {
    this.#object = object;
    for (const [name, program] of programs) {
      const memory = new NativeMemory(LOG_SIZE);
      this.#logs.set(name, memory);
      libbpf.bpf_program__set_log_buf(program, memory.pointer, BigInt(LOG_SIZE));
    }
  }

  /** The error for a negative errno of loading, with what libbpf said besides. */
  error(result: number, warnings: readonly string[]): KernelError {
    // libbpf stops at the first program that fails; those before it leave their log empty
    for (const [program, { bytes }] of this.#logs) {
      if (bytes[0] === 0) continue;
      const log = lastLines(fromCstring(bytes), LOG_LINES);
      return bpfError(result, `load object ${this.#object}: program`, program, { log });
    }
    const hint = hintOf(result);
    return bpfError(result, "load object", this.#object, {
      ...hint ? { hint } : {},
      ...logOf(warnings),
    });
  }

  [Symbol.dispose](): void {
    for (const memory of this.#logs.values()) memory[Symbol.dispose]();
    this.#logs.clear();
  }
}

function hintOf(result: number): string | undefined {
  switch (-result) {
    case ERRNO.ESRCH:
    case ERRNO.ENOENT:
      return kernelBtfMissing();
    case ERRNO.E2BIG:
      return "a map is larger than the kernel allows";
    case ERRNO.EPERM:
      return geteuid() === 0
        ? "the kernel allows it to nobody: it may have no trampolines for fentry and LSM, or be locked down"
        : undefined;
    default:
      return undefined;
  }
}

/** Of a file that libbpf does not open, by errno; undefined: its own words say more. */
export function openHint(errno: number): string | undefined {
  const OF_LIBBPF = 4000; // the first of libbpf_legacy.h's: no ELF, no eBPF, of another byte order …
  if (errno === ERRNO.ENOENT) return "it has no BTF, or maps without it: compile it with -g";
  if (errno === ERRNO.EINVAL || errno >= OF_LIBBPF) return "it is no eBPF object, or a damaged one";
  return undefined;
}

/** Warnings of libbpf as the log of an error. */
export function logOf(warnings: readonly string[]): { log?: string } {
  return warnings.length === 0 ? {} : { log: warnings.join("\n") };
}

function lastLines(text: string, count: number): string {
  const lines = text.trimEnd().split("\n");
  return lines.slice(-count).join("\n");
}

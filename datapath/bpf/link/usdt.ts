/** Programs at probes that programs have built in (USDT, as those of sys/sdt.h). */

import { errno } from "../ffi/libc.ts";
import { libbpf } from "../ffi/libbpf.ts";
import { withLibbpfLog } from "../ffi/libbpf_log.ts";
import { cstring } from "../ffi/memory.ts";
import { bpfError } from "../errors.ts";
import { logOf } from "../load_logs.ts";

/** Options for BpfObject.attachUsdt. */
export interface AttachUsdtOptions {
  /** A program or library. */
  path: string;
  /** Whose probe it is, as `libc`. */
  provider: string;
  /** The probe. */
  name: string;
  /** One process alone. @default {all} */
  pid?: number;
  /** What bpf_usdt_cookie() gives the program. @default {0n} */
  cookie?: bigint;
}

/** A program at the places of a probe. It is taken off when its object is disposed of, at the latest. */
export class UsdtLink implements Disposable {
  #link: Deno.PointerObject | undefined;
  readonly #forget: (link: UsdtLink) => void;

  /** By an object; see BpfObject.attachUsdt. */
  constructor(link: Deno.PointerObject, forget: (link: UsdtLink) => void) {
    this.#link = link;
    this.#forget = forget;
  }

  /** Takes the program off. */
  detach(): void {
    if (this.#link) libbpf.bpf_link__destroy(this.#link);
    this.#link = undefined;
    this.#forget(this);
  }

  /** As `detach`. */
  [Symbol.dispose](): void {
    this.detach();
  }
}

/** Throws KernelError with libbpf's words. */
export function usdtLink(
  program: Deno.PointerObject,
  programName: string,
  { path, provider, name, pid = -1, cookie = 0n }: AttachUsdtOptions,
): Deno.PointerObject {
  const options = new BigUint64Array([16n, cookie]); // struct bpf_usdt_opts
  let code = 0;
  const { result, warnings } = withLibbpfLog(() => {
    const texts = [cstring(path), cstring(provider), cstring(name)] as const;
    const link = libbpf.bpf_program__attach_usdt(program, pid, ...texts, options);
    if (link === null) code = errno();
    return link;
  });
  if (result !== null) return result;
  const where = `${provider}:${name} of ${path}`;
  throw bpfError(code, `attach program ${programName} to`, where, logOf(warnings));
}

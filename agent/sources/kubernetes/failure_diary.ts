/** Failures of watches in the log: a line when something begins, and one when it is over. */

import type { Log } from "../../core/log.ts";
import { ApiError } from "../../kubernetes/client/api_error.ts";
import type { SourceKind } from "./watched_kinds.ts";

/** What is so for all kinds at once. */
const COMMON = /^(unreachable|silent|untrusted|unauthorized|busy)$/;

/** See the module. */
export class FailureDiary {
  readonly #log: Log;
  /** By kind, the code of what goes on. */
  readonly #open = new Map<string, string>();

  constructor(log: Log) {
    this.#log = log;
  }

  failed({ kind, optional }: SourceKind, error: unknown): void {
    const code = error instanceof ApiError ? error.code : "strange";
    const reason = error instanceof Error ? error.message : String(error);
    // a list begins then, or a kind is not there, as `status` says
    const usual = code === "gone" || code === "ahead" || code === "notFound" && optional;
    const known = COMMON.test(code)
      ? this.#open.values().some((open) => COMMON.test(open))
      : this.#open.get(kind) === code;
    if (!usual) this.#open.set(kind, code);
    if (usual || known) this.#log.debug("API server", { kind, reason });
    else this.#log.warn("API server", { ...(COMMON.test(code) ? {} : { kind }), reason });
  }

  recovered({ kind }: SourceKind): void {
    if (this.#open.delete(kind) && this.#open.size === 0) {
      this.#log.info("API server: in sync again");
    }
  }
}

/** Failures of watches in the log: a line when something begins, and one when it is over. */

import type { Log } from "../../core/log.ts";
import { ApiError } from "../../kubernetes/client/api_error.ts";
import type { SourceKind } from "./watched_kinds.ts";

/** What all kinds have together: the way to the server. */
const COMMON = "";

/** See the module. */
export class FailureDiary {
  readonly #log: Log;
  /** By kind, or for all together, what goes on: the code of the error. */
  readonly #open = new Map<string, string>();

  constructor(log: Log) {
    this.#log = log;
  }

  failed({ kind, optional }: SourceKind, error: unknown): void {
    const code = error instanceof ApiError ? error.code : "strange";
    const reason = error instanceof Error ? error.message : String(error);
    // a list begins then, or a kind is not there, as `status` says
    const usual = code === "gone" || code === "ahead" || code === "notFound" && optional;
    const about = /^(unreachable|silent|untrusted|unauthorized|busy)$/.test(code) ? COMMON : kind;
    if (usual || this.#open.get(about) === code) {
      this.#log.debug("API server", { kind, reason });
      return;
    }
    this.#open.set(about, code);
    this.#log.warn("API server", { ...(about === COMMON ? {} : { kind }), reason });
  }

  recovered({ kind }: SourceKind): void {
    for (const about of [COMMON, kind]) {
      if (!this.#open.delete(about)) continue;
      this.#log.info("API server: in sync again", about === COMMON ? {} : { kind });
    }
  }
}

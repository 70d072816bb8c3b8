/** The connections to the API server: made anew when what they are made of changes, or they are dead. */

import type { Access } from "./access.ts";
import type { ApiError } from "./api_error.ts";

/** One client of HTTP, and what tells its requests that their connections are dead. */
export interface Connections {
  readonly http: Deno.HttpClient;
  /** Aborted with an ApiError. */
  readonly lost: AbortSignal;
}

/** See the module. */
export class Transport implements Disposable {
  #current: Connections & { content: string; end: AbortController } | undefined;

  /** The connections for that access. Throws what the runtime says of certificates it cannot read. */
  connections({ caCerts, certificate, proxy }: Access): Connections {
    const content = JSON.stringify([caCerts, certificate, proxy]);
    if (this.#current?.content !== content) {
      this.leave();
      const http = Deno.createHttpClient({
        ...(caCerts ? { caCerts: [caCerts] } : {}),
        ...(certificate ?? {}),
        ...(proxy ? { proxy: { url: proxy } } : {}),
      });
      const end = new AbortController();
      this.#current = { content, http, end, lost: end.signal };
    }
    return this.#current!;
  }

  /** Later requests get connections of their own; those under way go on. */
  leave(): void {
    this.#current?.http.close();
    this.#current = undefined;
  }

  /** As `leave`, and requests under way end with the reason. */
  lose(reason: ApiError, connections: Connections): void {
    // another request may have lost them before
    if (this.#current !== connections) return;
    const { end } = this.#current;
    this.leave();
    end.abort(reason);
  }

  [Symbol.dispose](): void {
    this.leave();
  }
}

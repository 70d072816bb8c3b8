/**
 * Keeps up with the objects of one kind: a list, and a watch from its version on; a list again when the
 * server no longer knows what came after that version. A list says all that there is: what it does not
 * say is gone.
 */

import { pause } from "../../core/pause.ts";
import type { ApiClient } from "../client/api_client.ts";
import { ApiError, statusError } from "../client/api_error.ts";
import { eventOf, isOlder, type Page, pageOf } from "./answers.ts";
import { Backoff } from "./backoff.ts";
import {
  type ApiObject,
  pathOf,
  requestOf,
  selectorsOf,
  type WatchedKind,
} from "./watched_kind.ts";

/** What became of the kind's objects. */
export type WatchChange =
  /** What is said from here to `listed` is all there is. Another may come before that one ends. */
  | { type: "list" }
  | { type: "listed" }
  | { type: "object" | "gone"; object: ApiObject }
  /** The server does not have the kind. */
  | { type: "absent" };

/** How it stands. */
export interface WatchStatus {
  state: "listing" | "watching" | "absent" | "failing";
  /** Of that state. */
  since: Date;
  /** The last one, if it was later than what went well. */
  error?: string;
  /** Lists that were begun, as requests of their own or of a watch. */
  lists: number;
  watches: number;
  events: number;
}

/** Milliseconds. */
export interface WatchTiming {
  /** How long a watch may be without any event: the server sends bookmarks each minute. */
  silence: number;
  /** The same while what there is at the beginning is awaited. */
  listSilence: number;
  /** A watch of that age is no failure, however it ends. */
  stable: number;
  firstBackoff: number;
  mostBackoff: number;
  /** The same where no list is due, which costs the server little. */
  mostResumeBackoff: number;
  /** Between looks for a kind that the server does not have. */
  absent: number;
}

const TIMING: WatchTiming = {
  silence: 180_000,
  listSilence: 30_000,
  stable: 10_000,
  firstBackoff: 200,
  mostBackoff: 30_000,
  mostResumeBackoff: 4000,
  absent: 30_000,
};

/** Objects of a page of a list. */
const PAGE = 500;

/** Failures in a row with a server that is behind us, after which its older state is taken. */
const PATIENCE_WITH_OLDER = 3;

/** Options for a {@linkcode KindWatch}. */
export interface KindWatchOptions {
  client: ApiClient;
  kind: WatchedKind;
  signal: AbortSignal;
  /** Is told of each failure, and of the first success after some. */
  onError?: (error: unknown) => void;
  onRecovered?: () => void;
  timing?: Partial<WatchTiming>;
}

/** See the module. */
export class KindWatch {
  readonly kind: WatchedKind;
  readonly #client: ApiClient;
  readonly #signal: AbortSignal;
  readonly #onError: (error: unknown) => void;
  readonly #onRecovered: () => void;
  readonly #timing: WatchTiming;
  readonly #backoff: Backoff;
  /** From which on the watch goes; undefined when a list is due. */
  #version: string | undefined;
  /** Whether the server sends what there is at the beginning of a watch. */
  #streams = true;
  /** The server may have been put back to an older state. */
  #doubtful = false;
  #older = 0;
  #status: WatchStatus = { state: "listing", since: new Date(), lists: 0, watches: 0, events: 0 };

  constructor(options: KindWatchOptions) {
    const { client, kind, signal, onError = () => {}, onRecovered = () => {}, timing } = options;
    this.kind = kind;
    this.#client = client;
    this.#signal = signal;
    this.#onError = onError;
    this.#onRecovered = onRecovered;
    this.#timing = { ...TIMING, ...timing };
    this.#backoff = new Backoff(this.#timing.firstBackoff);
  }

  get status(): WatchStatus {
    return { ...this.#status };
  }

  /** All changes, until the signal is aborted. What a change says counts when the next one is taken. */
  async *changes(): AsyncGenerator<WatchChange> {
    while (!this.#signal.aborted) {
      const began = performance.now();
      let wait = 0;
      try {
        if (this.#status.state === "absent" && !await this.#isThere()) {
          await this.#pause(this.#absentMs());
          continue;
        }
        await this.#checkVersion();
        if (this.#version === undefined && !this.#streams) yield* this.#list();
        yield* this.#watch();
        this.#backoff.reset();
      } catch (error) {
        if (this.#signal.aborted) return;
        if (performance.now() - began > this.#timing.stable) this.#backoff.reset();
        wait = this.#waitAfter(error);
        if (isMissing(error) && this.kind.optional && await this.#isMissing()) {
          yield { type: "absent" };
          this.#version = undefined;
          this.#enter("absent");
          wait = this.#absentMs();
        }
      }
      await this.#pause(wait);
    }
  }

  /** Throws ApiError. */
  async *#list(): AsyncGenerator<WatchChange> {
    this.#status.lists++;
    let next: string | undefined;
    let limit: Record<string, string> = { limit: String(PAGE) };
    yield { type: "list" };
    do {
      let page: Page;
      try {
        page = await this.#page({ ...limit, ...(next ? { continue: next } : {}) });
      } catch (error) {
        const expired = error instanceof ApiError && error.code === "gone" && next !== undefined;
        if (!expired || limit["limit"] === undefined) throw error;
        // the pages took longer than the server remembers: all at once
        limit = {};
        next = undefined;
        yield { type: "list" };
        continue;
      }
      for (const object of page.items) yield { type: "object", object };
      if (page.next !== undefined && page.next === next) {
        const what = `list ${this.kind.resource}`;
        throw new ApiError("strange", `${what}: the pages of the list lead to themselves`);
      }
      next = page.next;
      if (next === undefined) {
        yield { type: "listed" };
        this.#version = page.version;
        return;
      }
    } while (true);
  }

  async #page(query: Record<string, string>): Promise<Page> {
    const { kind } = this;
    return pageOf(
      await this.#client.json({
        ...requestOf(kind, "list"),
        path: pathOf(kind),
        query: { ...selectorsOf(kind), ...query },
        signal: this.#signal,
      }),
    );
  }

  /** Goes on from the version; without one, what there is comes first. Ends when its time is over. */
  async *#watch(): AsyncGenerator<WatchChange> {
    const { kind } = this;
    // no two nodes at the same moment
    const seconds = Math.round(300 * (1 + Math.random()));
    const began = performance.now();
    let listing = this.#version === undefined;
    this.#status.watches++;
    if (listing) {
      this.#status.lists++;
      yield { type: "list" };
    }
    const lines = this.#client.lines({
      ...requestOf(kind, "watch"),
      path: pathOf(kind),
      query: {
        ...selectorsOf(kind),
        watch: "true",
        allowWatchBookmarks: "true",
        timeoutSeconds: String(seconds),
        ...(this.#version === undefined
          ? { sendInitialEvents: "true", resourceVersionMatch: "NotOlderThan" }
          : { resourceVersion: this.#version }),
      },
      signal: this.#signal,
      patienceMs: () => listing ? this.#timing.listSilence : this.#timing.silence,
      onAnswer: () => listing || this.#enter("watching"),
    });
    try {
      for await (const line of lines) {
        const event = eventOf(line);
        this.#status.events++;
        if (event.type === "ERROR") throw this.#errorOf(event.status);
        const bookmark = event.type === "BOOKMARK";
        const version = bookmark ? event.version : event.object.metadata.resourceVersion;
        if (!listing && isOlder(version, this.#version!)) {
          throw new ApiError("gone", `watch ${kind.resource}: the server's versions went back`);
        }
        if (!bookmark) {
          yield { type: event.type === "DELETED" ? "gone" : "object", object: event.object };
        } else if (listing) {
          if (!event.end) throw new NotStreamedError();
          yield { type: "listed" };
          listing = false;
          this.#enter("watching");
        }
        if (!listing) this.#version = version;
      }
    } catch (error) {
      // it knows nothing of what was asked for, or keeps us waiting for its end
      const refused = error instanceof ApiError && /^(invalid|silent)$/.test(error.code);
      if (listing && this.#streams && (refused || error instanceof NotStreamedError)) {
        this.#streams = false;
        return;
      }
      throw error;
    }
    if (listing) throw new ApiError("unreachable", `watch ${kind.resource}: ended in its list`);
    if (performance.now() - began < seconds * 1000 - 5000) {
      throw new ApiError("unreachable", `watch ${kind.resource}: the connection was closed`);
    }
  }

  #errorOf(status: { code?: unknown }): ApiError {
    const code = typeof status.code === "number" ? status.code : 500;
    const request = requestOf(this.kind, "watch");
    return statusError({ status: code, object: status }, request, this.#client.access());
  }

  /**
   * A server that was restored from a backup takes a version that it will have some day, and says
   * nothing until then. So after a connection that broke it is asked for its own.
   */
  async #checkVersion(): Promise<void> {
    if (!this.#doubtful || this.#version === undefined) return;
    const { version } = await this.#page({ limit: "1" });
    if (isOlder(version, this.#version)) this.#version = undefined;
    this.#doubtful = false;
  }

  #waitAfter(error: unknown): number {
    const { code = "unreachable", retryAfterMs = 0 } = error instanceof ApiError ? error : {};
    this.#doubtful = true;
    this.#older = code === "ahead" ? this.#older + 1 : 0;
    const lost = code === "gone" || code === "strange" || this.#older >= PATIENCE_WITH_OLDER;
    if (lost) this.#version = undefined;
    this.#enter("failing", error);
    this.#onError(error);
    const { mostBackoff, mostResumeBackoff } = this.#timing;
    const most = this.#version === undefined ? mostBackoff : mostResumeBackoff;
    return this.#backoff.next(most, retryAfterMs);
  }

  /** Whether the server is ready and has no such kind: while it starts, it has none of others' kinds. */
  async #isMissing(): Promise<boolean> {
    try {
      const ready = { verb: "get", group: "", resource: "readyz", path: "/readyz" } as const;
      for await (const _ of this.#client.lines({ ...ready, signal: this.#signal }));
    } catch (error) {
      // who may not ask has to believe it
      const hidden = error instanceof ApiError &&
        /^(unauthorized|forbidden|notFound)$/.test(error.code);
      if (!hidden) return false;
    }
    return !await this.#isThere().catch(() => true);
  }

  /** Throws ApiError for what is not known. */
  async #isThere(): Promise<boolean> {
    try {
      await this.#page({ limit: "1" });
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  /** When the server is there again after it was away, nobody waits any longer. */
  async #pause(ms: number): Promise<void> {
    const { back } = this.#client;
    if (!back) return void await pause(ms, this.#signal);
    const over = new AbortController();
    const signal = AbortSignal.any([this.#signal, over.signal]);
    if (await Promise.race([pause(ms, signal), back.then(() => "back")]) !== "back") return;
    over.abort();
    this.#backoff.reset();
    await pause(this.#timing.firstBackoff * Math.random(), this.#signal);
  }

  #absentMs(): number {
    return this.#timing.absent * (1 + Math.random());
  }

  #enter(state: WatchStatus["state"], error?: unknown): void {
    const { since, state: before, error: _, ...counts } = this.#status;
    const message = error instanceof Error ? error.message : error ? String(error) : undefined;
    this.#status = {
      ...counts,
      state,
      since: state === before ? since : new Date(),
      ...(message === undefined ? {} : { error: message }),
    };
    if (before === "failing" && state !== "failing") this.#onRecovered();
  }
}

/** The server ignores that it is asked for what there is at the beginning. */
class NotStreamedError extends Error {}

const isMissing = (error: unknown) => error instanceof ApiError && error.code === "notFound";

/**
 * The source of those who run Kubernetes: its API server, listed and watched. What it said last is kept
 * on disk, and in force while it is away.
 */

import type { Log } from "../../core/log.ts";
import { pause, untilAborted } from "../../core/pause.ts";
import type { Table } from "../../core/table.ts";
import type { AccessReader } from "../../kubernetes/client/access.ts";
import { ApiClient } from "../../kubernetes/client/api_client.ts";
import { type HeartbeatOptions, keepAlive } from "../../kubernetes/client/heartbeat.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { Resource } from "../../kubernetes/resources.ts";
import {
  KindWatch,
  type WatchStatus,
  type WatchTiming,
} from "../../kubernetes/watch/kind_watch.ts";
import type { ResourceSource } from "../resource_source.ts";
import { serverAddresses } from "./server_addresses.ts";
import { FailureDiary } from "./failure_diary.ts";
import { KindTable } from "./kind_table.ts";
import { SavedObjects } from "../../kubernetes/watch/saved_objects.ts";
import { watchedKinds } from "./watched_kinds.ts";

/** Options for a {@linkcode KubernetesSource}. */
export interface KubernetesSourceOptions {
  access: AccessReader;
  nodeName: string;
  /** The file of what is kept. */
  savedPath: string;
  userAgent: string;
  log: Log;
  /**
   * Milliseconds that the start waits for the server when what it said last is known.
   *
   * @default {5000}
   */
  startPatienceMs?: number;
  timing?: Partial<WatchTiming>;
  heartbeat?: HeartbeatOptions;
}

/** One kind, and how its watch stands. */
export interface KindStatus extends WatchStatus {
  kind: string;
  /** Whether the table was all that the server has, once since the agent started. */
  complete: boolean;
  objects: number;
}

/** Milliseconds of failures that are told in the log alone: servers are restarted. */
const SHORT_MS = 15_000;

/** See the module. */
export class KubernetesSource implements ResourceSource {
  readonly name: string;
  readonly tables = createResourceTables();
  readonly ignored: ReadonlyMap<string, number> = new Map();
  /** Those of other nodes are what their nodes publish. */
  readonly hasAllPods = false;
  readonly #log: Log;
  /** How the API server is asked: by whoever else does, too. */
  readonly client: ApiClient;
  /** What the server said last, of other kinds as well. */
  readonly saved: SavedObjects;
  readonly #stop = new AbortController();
  readonly #kinds: { watch: KindWatch; rows: KindTable }[];
  readonly #options: KubernetesSourceOptions;
  readonly #running: Promise<unknown>[] = [];
  readonly #diary: FailureDiary;

  /** Throws AccessError when nothing can be made of what is given for access. */
  constructor(options: KubernetesSourceOptions) {
    const { access, nodeName, savedPath, userAgent, log, timing } = options;
    const { servers } = access();
    this.name = `kubernetes:${servers.join(",")}`;
    this.#log = log;
    this.#diary = new FailureDiary(log);
    this.#options = options;
    this.saved = new SavedObjects(savedPath, (reason) => {
      log.error("what the API server said last was spoilt, and is asked for anew", { reason });
    });
    const fallbacks = () => serverAddresses(this.tables.EndpointSlice);
    this.client = new ApiClient({ access, userAgent, fallbacks });
    this.#kinds = watchedKinds(nodeName).map((kind) => ({
      watch: new KindWatch({
        client: this.client,
        kind,
        signal: this.#stop.signal,
        onError: (error) => this.#diary.failed(kind, error),
        onRecovered: () => this.#diary.recovered(kind),
        ...(timing ? { timing } : {}),
      }),
      rows: new KindTable({
        kind: kind.kind,
        table: this.tables[kind.kind] as Table<Resource>,
        problems: this.tables.problems,
        saved: this.saved,
      }),
    }));
  }

  /** Resolves when all kinds are as the server has them, or, while it is away, as it said last. */
  async start(): Promise<void> {
    const recalled = this.#kinds.map(({ rows }) => rows.recall()).every((all) => all);
    const { startPatienceMs = 5000, heartbeat } = this.#options;
    this.#running.push(keepAlive(this.client, this.#stop.signal, heartbeat));
    for (const { watch, rows } of this.#kinds) this.#running.push(this.#follow(watch, rows));
    const complete = Promise.all(this.#kinds.map(({ rows }) => rows.complete));
    const { signal } = this.#stop;
    const waits = recalled ? pause(startPatienceMs, signal) : untilAborted(signal);
    await Promise.race([complete, waits]);
    if (signal.aborted || this.#kinds.every(({ rows }) => rows.isComplete)) return;
    this.#log.warn("the API server is away; what it said last is in force", {
      reason: this.staleness(),
    });
  }

  async #follow(watch: KindWatch, rows: KindTable): Promise<void> {
    for await (const change of watch.changes()) await rows.apply(change);
  }

  status(): KindStatus[] {
    return this.#kinds.map(({ watch, rows }) => ({
      ...watch.status,
      kind: rows.kind,
      complete: rows.isComplete,
      objects: this.tables[rows.kind].size,
    }));
  }

  /** Requests since the start. */
  get requests(): number {
    return this.client.requests;
  }

  staleness(now = Date.now()): string | undefined {
    const late = this.status().filter(({ state, since, complete }) =>
      state !== "watching" && state !== "absent" &&
      (!complete || now - since.getTime() > SHORT_MS)
    );
    const [first] = late;
    if (!first) {
      const { fault } = this.saved;
      return fault === undefined ? undefined : `what the API server says ${fault}`;
    }
    const kinds = late.map(({ kind }) => kind).join(", ");
    const seconds = Math.round((now - Math.min(...late.map(({ since }) => +since))) / 1000);
    const reason = late.find(({ error }) => error !== undefined)?.error ?? "no answer yet";
    return `not in sync with the API server for ${seconds} s (${kinds}): ${reason}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the agent ends"));
    await Promise.all(this.#running);
    this.client[Symbol.dispose]();
    this.saved[Symbol.dispose]();
  }
}

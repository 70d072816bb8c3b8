/** What one feature adds to a running agent. */

import type { MetricRow } from "../api/metrics_text.ts";
import type { ApiRoutes } from "../api/server.ts";
import type { StatusView } from "../api/views.ts";
import type { Problem } from "../core/problem.ts";
import type { ReconcilerStatus } from "../core/reconciler.ts";

/** Any reconciler, as the agent starts and shows it. */
export interface AnyReconciler extends AsyncDisposable {
  start(): Promise<void>;
  status(): ReconcilerStatus;
}

/** How a map is shown where its bytes alone say little. */
export interface MapDisplay {
  /** One row; undefined when it belongs to nothing. @default as it is */
  row?: (key: unknown, value: unknown) => { key: unknown; value: unknown } | undefined;
  /** The whole map, where rows are parts of something larger. */
  dump?: (limit: number) => { key: unknown; value: unknown }[];
  /** Rows in use, where the map's own count does not say it. */
  rowsInUse?: () => number;
}

/**
 * A feature. Its function takes what it needs from others as typed arguments, wires its tables and
 * derivations, and gives this; the kernel is touched from `start` on. Disposing of it leaves the
 * kernel as it is.
 */
export interface Part extends AsyncDisposable {
  readonly name: string;
  /** In the order in which they are started, before `start`. */
  readonly reconcilers?: readonly AnyReconciler[];
  /** What is wrong in what users want. */
  readonly problems?: readonly { rows(): Problem[] }[];
  /** Handlers by `METHOD /path`. */
  readonly routes?: ApiRoutes;
  /** By the map's name. */
  readonly maps?: Readonly<Record<string, MapDisplay>>;
  /** Brings the rest of the kernel to what is wanted. Called once, in the order of the parts. */
  start?(): Promise<void> | void;
  /** Samples, now. */
  metrics?(): Iterable<MetricRow> | Promise<Iterable<MetricRow>>;
  /** Its fields of `pilus status`. */
  status?(): Partial<StatusView> | Promise<Partial<StatusView>>;
  /** What is not in force although users rely on it; undefined when all is well. */
  health?(): string | undefined;
  /** What of users' wishes is not in force or may be out of date, without a reason to refuse new pods. */
  staleness?(): string | undefined;
}

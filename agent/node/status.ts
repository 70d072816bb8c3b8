/** What an agent says of itself: its parts' answers put together. */

import { type MetricRow, METRICS_CONTENT_TYPE, metricsText } from "../api/metrics_text.ts";
import { HttpResponse } from "../api/http/http_response.ts";
import type { ApiRoutes } from "../api/server.ts";
import type { Health, LapseView, ReconcilerView, StatusView } from "../api/views.ts";
import type { Problem } from "../core/problem.ts";
import type { ReconcilerStatus } from "../core/reconciler.ts";
import { type AgentConfig, VERSION } from "./config.ts";
import { counter, gauge } from "./metrics.ts";
import type { Part } from "./part.ts";

/** See the module. */
export class AgentStatus {
  readonly #config: AgentConfig;
  readonly #startedAt: Date;
  readonly #parts: readonly Part[];

  constructor(config: AgentConfig, startedAt: Date, parts: readonly Part[]) {
    this.#config = config;
    this.#startedAt = startedAt;
    this.#parts = parts;
  }

  #reconcilers(): ReconcilerStatus[] {
    return this.#parts.flatMap(({ reconcilers = [] }) => reconcilers)
      .map((reconciler) => reconciler.status());
  }

  /** Well, when what is known is in force, and is what users want by now. */
  health(): Health {
    const health = this.readiness();
    if (!health.ok) return health;
    for (const part of this.#parts) {
      const reason = part.staleness?.();
      if (reason !== undefined) return { ok: false, reason };
    }
    const failing = this.#reconcilers().find(({ errors }) => errors > 0);
    return failing ? inError(failing) : health;
  }

  /** Well, when what is known is in force: pods can be added. */
  readiness(): Health {
    const failing = this.#reconcilers().find(({ errors, vital }) => errors > 0 && vital);
    if (failing) return inError(failing);
    for (const part of this.#parts) {
      const reason = part.health?.();
      if (reason !== undefined) return { ok: false, reason };
    }
    return { ok: true };
  }

  #problems(): Problem[] {
    return this.#parts.flatMap(({ problems = [] }) => problems).flatMap((table) => table.rows());
  }

  async status(): Promise<StatusView> {
    const { nodeName, routing, masquerade, cniConfDir, cniBinDir } = this.#config;
    const fields = await Promise.all(this.#parts.map((part) => part.status?.() ?? {}));
    const own = {
      version: VERSION,
      node: nodeName,
      pid: Deno.pid,
      uptime: Math.round((Date.now() - this.#startedAt.getTime()) / 1000),
      health: this.health(),
      routing,
      masquerade,
      reconcilers: this.#reconcilers().map(reconcilerView),
      lapses: this.#reconcilers().flatMap(lapseViews).sort((a, b) => a.since < b.since ? -1 : 1),
      problems: this.#problems(),
      ...(cniConfDir ? { cni: { config: cniConfDir, binary: cniBinDir } } : {}),
      memory: { rss: Deno.memoryUsage().rss },
    };
    return Object.assign({}, ...fields, own) as StatusView;
  }

  /** Everything that the agent counts, now. */
  async metrics(): Promise<MetricRow[]> {
    const rows = await Promise.all(this.#parts.map((part) => part.metrics?.() ?? []));
    return [
      ...rows.flatMap((samples) => [...samples]),
      ...this.#reconcilers().flatMap(({ name, rows, pending, errors, repairs }) => {
        const labels = { reconciler: name };
        return [
          gauge("reconciler_rows", "Rows desired", rows, labels),
          gauge("reconciler_pending", "Rows still to be applied", pending, labels),
          gauge("reconciler_errors", "Rows that cannot be applied", errors, labels),
          counter("reconciler_repairs_total", "Rows found changed and put right", repairs, labels),
        ];
      }),
      gauge("process_resident_memory_bytes", "Memory of the agent", Deno.memoryUsage().rss),
    ];
  }

  /** Metrics for Prometheus. */
  async metricsResponse(): Promise<HttpResponse> {
    return new HttpResponse(200, metricsText(await this.metrics()), {
      "content-type": METRICS_CONTENT_TYPE,
    });
  }

  /** The routes of all parts and of the agent itself. */
  routes(): ApiRoutes {
    return {
      ...Object.assign({}, ...this.#parts.map(({ routes }) => routes ?? {})) as ApiRoutes,
      "GET /v1/health": () => this.health(),
      "GET /v1/status": () => this.status(),
      "GET /v1/metrics": () => this.metrics(),
      "GET /metrics": () => this.metricsResponse(),
    };
  }
}

function reconcilerView(
  { lastSync, lastError, lapses: _, vital: _vital, ...counts }: ReconcilerStatus,
): ReconcilerView {
  return {
    ...counts,
    ...(lastSync ? { lastSync: lastSync.toISOString() } : {}),
    ...(lastError ? { lastError: { ...lastError, at: lastError.at.toISOString() } } : {}),
  };
}

function lapseViews({ name, lapses }: ReconcilerStatus): LapseView[] {
  return lapses.map(({ since, until, rows, count }) => ({
    reconciler: name,
    since: since.toISOString(),
    ...(until ? { until: until.toISOString() } : {}),
    rows,
    count,
  }));
}

function inError({ name, errors, lastError }: ReconcilerStatus): Health {
  return { ok: false, reason: `${name}: ${errors} rows in error: ${lastError?.reason}` };
}

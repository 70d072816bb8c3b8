/** What users want, as resource tables, and what nodes tell each other. */

import { settled } from "../core/schedule.ts";
import type { Log } from "../core/log.ts";
import type { ClusterStore } from "../cluster/cluster_store.ts";
import type { ClusterNode } from "../cluster/rows.ts";
import type { MetricRow } from "../api/metrics_text.ts";
import type { WatchView } from "../api/views.ts";
import type { ResourceTables } from "../kubernetes/resource_tables.ts";
import type { KindStatus, KubernetesSource } from "../sources/kubernetes/kubernetes_source.ts";
import { mergeSources } from "../sources/resource_source.ts";
import type { AgentConfig } from "./config.ts";
import type { NodeTables } from "./nodes/nodes.ts";
import { counter, gauge } from "./metrics.ts";
import type { Part } from "./part.ts";
import { clusterStore, resourceSources } from "./resource_sources.ts";

/** Milliseconds between looks for this node's manifest. */
const SELF_INTERVAL_MS = 200;

function watchView({ kind, state, since, error, objects }: KindStatus): WatchView {
  const view = { kind, state, since: since.toISOString(), objects };
  return error === undefined ? view : { ...view, error };
}

function watchMetrics(source: KubernetesSource): MetricRow[] {
  return [
    counter("kubernetes_requests_total", "Requests to the API server", source.requests),
    ...source.status().flatMap(({ kind, state, objects, events, lists }) => {
      const labels = { kind };
      const up = state === "watching" || state === "absent" ? 1 : 0;
      return [
        gauge("kubernetes_watch_up", "Whether a kind is in sync with the API server", up, labels),
        gauge("kubernetes_objects", "Objects of the API server that are read", objects, labels),
        counter("kubernetes_events_total", "Events of watches", events, labels),
        counter("kubernetes_lists_total", "Lists, which say all there is", lists, labels),
      ];
    }),
  ];
}

/** See the module. */
export interface SourcesPart extends Part {
  tables: ResourceTables;
  store: ClusterStore;
  /** Whether the tables have the Pods of other nodes, too. */
  knowsAllPods: boolean;
  /**
   * Starts reading. Resolves to this node once its manifest has pod CIDRs and an InternalIP: until
   * then nothing is known of addresses for pods, nor of where other nodes reach them. Where no manifest
   * has any Node, `alone` makes the host one by itself, or says why it cannot be.
   */
  findSelf(nodes: NodeTables, alone: () => string | undefined): Promise<ClusterNode>;
}

/** Wires the API server, if there is one, and the directory of manifests, which the nodes share. */
export function sourcesPart({ config, log }: { config: AgentConfig; log: Log }): SourcesPart {
  const { all: sources, kubernetes } = resourceSources(config, log);
  const store = clusterStore(config, kubernetes, log);
  const merged = mergeSources(sources);
  const { tables } = merged;
  let ended = false;
  let finding: Promise<ClusterNode> | undefined;
  const find = async ({ nodes }: NodeTables, alone: () => string | undefined) => {
    // together, as sources wait for threads that parse
    await Promise.all([...sources, store].map((each) => each.start()));
    await settled();
    for (let warned = false; !ended; warned = true) {
      // a node of a cluster comes with its Node, sooner or later
      const reason = nodes.size > 0 || kubernetes ? undefined : alone();
      await settled();
      const self = nodes.get(config.nodeName);
      if ((self?.podCidrIpv4 || self?.podCidrIpv6) && (self.ipv4 || self.ipv6)) return self;
      if (!warned) {
        log.warn("waiting for the node's manifest with podCIDRs and an InternalIP", {
          node: config.nodeName,
          sources: sources.map(({ name }) => name).join(", "),
          reason,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, SELF_INTERVAL_MS));
    }
    throw new Error("The agent ends");
  };
  return {
    name: "sources",
    problems: [tables.problems, store.problems],
    tables,
    store,
    knowsAllPods: sources.every(({ hasAllPods }) => hasAllPods),
    findSelf: (nodes, alone) => finding = find(nodes, alone),
    status: () => ({
      source: sources.map(({ name }) => name).join(", "),
      ...(kubernetes ? { watches: kubernetes.status().map(watchView) } : {}),
      ignoredKinds: Object.fromEntries(sources.flatMap(({ ignored }) => [...ignored])),
    }),
    staleness() {
      for (const source of [...sources, store]) {
        const reason = source.staleness?.();
        if (reason !== undefined) return reason;
      }
      return undefined;
    },
    metrics: () => kubernetes ? watchMetrics(kubernetes) : [],
    async [Symbol.asyncDispose]() {
      ended = true;
      // a source that is still starting would go on after its end
      await finding?.catch(() => {});
      merged[Symbol.dispose]();
      await store[Symbol.asyncDispose]();
      for (const source of sources) await source[Symbol.asyncDispose]();
    },
  };
}

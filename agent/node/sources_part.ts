/** What users want, as resource tables, and what nodes tell each other. */

import { settled } from "../core/schedule.ts";
import type { Log } from "../core/log.ts";
import type { ClusterStore } from "../cluster/cluster_store.ts";
import { FileStore } from "../cluster/files/file_store.ts";
import type { ClusterNode } from "../cluster/rows.ts";
import type { ResourceTables } from "../kubernetes/resource_tables.ts";
import { FileSource } from "../sources/files/file_source.ts";
import { mergeSources } from "../sources/resource_source.ts";
import type { AgentConfig } from "./config.ts";
import type { NodeTables } from "./nodes/nodes.ts";
import type { Part } from "./part.ts";

/** Milliseconds between looks for this node's manifest. */
const SELF_INTERVAL_MS = 200;

/** See the module. */
export interface SourcesPart extends Part {
  tables: ResourceTables;
  store: ClusterStore;
  /**
   * Starts reading. Resolves to this node once its manifest has pod CIDRs and an InternalIP: until
   * then nothing is known of addresses for pods, nor of where other nodes reach them. Where no manifest
   * has any Node, `alone` makes the host one by itself, or says why it cannot be.
   */
  findSelf(nodes: NodeTables, alone: () => string | undefined): Promise<ClusterNode>;
}

/** Wires the directory of manifests, which the nodes share. */
export function sourcesPart({ config, log }: { config: AgentConfig; log: Log }): SourcesPart {
  const { manifests: directory, nodeName } = config;
  const sources = [new FileSource({ directory, stateDirectory: `${config.stateDir}/last-good` })];
  const store = new FileStore({ directory, node: nodeName });
  const merged = mergeSources(sources);
  const { tables } = merged;
  let ended = false;
  let finding: Promise<ClusterNode> | undefined;
  const find = async ({ nodes }: NodeTables, alone: () => string | undefined) => {
    // together, as sources wait for threads that parse
    await Promise.all([...sources, store].map((each) => each.start()));
    await settled();
    for (let warned = false; !ended; warned = true) {
      const reason = nodes.size > 0 ? undefined : alone();
      await settled();
      const self = nodes.get(config.nodeName);
      if ((self?.podCidrIpv4 || self?.podCidrIpv6) && (self.ipv4 || self.ipv6)) return self;
      if (!warned) {
        log.warn("waiting for the node's manifest with podCIDRs and an InternalIP", {
          node: config.nodeName,
          manifests: config.manifests,
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
    findSelf: (nodes, alone) => finding = find(nodes, alone),
    status: () => ({
      source: sources.map(({ name }) => name).join(", "),
      ignoredKinds: Object.fromEntries(sources.flatMap(({ ignored }) => [...ignored])),
    }),
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

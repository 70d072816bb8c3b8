/** What users want: the manifests as resource tables. */

import { settled } from "../core/schedule.ts";
import type { Log } from "../core/log.ts";
import { createResourceTables, type ResourceTables } from "../kubernetes/resource_tables.ts";
import { FileSource } from "../sources/files/file_source.ts";
import type { AgentConfig } from "./config.ts";
import type { ClusterNode, NodeTables } from "./nodes/nodes.ts";
import type { Part } from "./part.ts";

/** Milliseconds between looks for this node's manifest. */
const SELF_INTERVAL_MS = 200;

/** See the module. */
export interface SourcesPart extends Part {
  tables: ResourceTables;
  source: FileSource;
  /**
   * Starts reading. Resolves to this node once its manifest has pod CIDRs: until then nothing is
   * known of addresses for pods.
   */
  findSelf(nodes: NodeTables): Promise<ClusterNode>;
}

/** Wires the directory of manifests to the resource tables. */
export function sourcesPart({ config, log }: { config: AgentConfig; log: Log }): SourcesPart {
  const tables = createResourceTables();
  const source = new FileSource({
    directory: config.manifests,
    stateDirectory: `${config.stateDir}/last-good`,
    tables,
  });
  let ended = false;
  let finding: Promise<ClusterNode> | undefined;
  const find = async ({ nodes }: NodeTables) => {
    await source.start();
    await settled();
    for (let warned = false; !ended; warned = true) {
      const self = nodes.get(config.nodeName);
      if (self && (self.podCidrIpv4 || self.podCidrIpv6)) return self;
      if (!warned) {
        log.warn("waiting for the node's manifest with podCIDRs", {
          node: config.nodeName,
          manifests: config.manifests,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, SELF_INTERVAL_MS));
    }
    throw new Error("The agent ends");
  };
  return {
    name: "sources",
    problems: [tables.problems],
    tables,
    source,
    findSelf: (nodes) => finding = find(nodes),
    status: () => ({ source: `files:${config.manifests}` }),
    async [Symbol.asyncDispose]() {
      ended = true;
      // a source that is still starting would go on after its end
      await finding?.catch(() => {});
      await source[Symbol.asyncDispose]();
    },
  };
}

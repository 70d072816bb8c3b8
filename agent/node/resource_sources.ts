/** Where resources come from, by the agent's options. */

import type { ClusterStore } from "../cluster/cluster_store.ts";
import { etcdAccessReader } from "../cluster/etcd/etcd_access.ts";
import { EtcdStore } from "../cluster/etcd/etcd_store.ts";
import { FileStore } from "../cluster/files/file_store.ts";
import { KubernetesStore } from "../cluster/kubernetes/kubernetes_store.ts";
import type { Log } from "../core/log.ts";
import { inClusterReader } from "../kubernetes/client/in_cluster.ts";
import { kubeconfigReader } from "../kubernetes/client/kubeconfig.ts";
import { FileSource } from "../sources/files/file_source.ts";
import { KubernetesSource } from "../sources/kubernetes/kubernetes_source.ts";
import type { ResourceSource } from "../sources/resource_source.ts";
import { type AgentConfig, VERSION } from "./config.ts";

/** The sources, of which the first that has a resource keeps it. */
export interface ResourceSources {
  all: readonly ResourceSource[];
  kubernetes: KubernetesSource | undefined;
}

/** Throws AccessError when nothing can be made of what is given for the API server. */
export function resourceSources(config: AgentConfig, log: Log): ResourceSources {
  const { manifests: directory, stateDir } = config;
  const kubernetes = kubernetesSource(config, log);
  const files = new FileSource({ directory, stateDirectory: `${stateDir}/last-good` });
  return { all: kubernetes ? [kubernetes, files] : [files], kubernetes };
}

/**
 * Where nodes tell each other. Throws TypeError when there is no API server for it, or the node's name is
 * not a name of the API.
 */
export function clusterStore(
  { clusterStore, etcdConfig, manifests: directory, nodeName: node }: AgentConfig,
  kubernetes: KubernetesSource | undefined,
  log: Log,
): ClusterStore {
  if (clusterStore === "files") return new FileStore({ directory, node });
  if (clusterStore === "etcd") {
    if (etcdConfig) return new EtcdStore({ access: etcdAccessReader(etcdConfig), node, log });
    throw new TypeError("--cluster-store=etcd needs --etcd-config, a file that has endpoints");
  }
  if (kubernetes) {
    return new KubernetesStore({ client: kubernetes.client, saved: kubernetes.saved, node, log });
  }
  throw new TypeError("--cluster-store=kubernetes needs an API server: give --kubernetes, too");
}

function kubernetesSource(
  { kubernetes, kubeconfig, apiServers: servers, nodeName, stateDir }: AgentConfig,
  log: Log,
): KubernetesSource | undefined {
  if (!kubernetes) {
    const given = kubeconfig ? "--kubeconfig" : servers.length > 0 ? "--api-server" : undefined;
    if (given) log.warn(`${given} has no effect without --kubernetes`);
    return undefined;
  }
  const access = kubeconfig ? kubeconfigReader(kubeconfig, servers) : inClusterReader({ servers });
  return new KubernetesSource({
    ...{ access, nodeName, log },
    savedPath: `${stateDir}/kubernetes.db`,
    userAgent: `pilus/${VERSION}`,
  });
}

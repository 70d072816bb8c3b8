/** Nodes' stores on a real API server. */

import { KubernetesStore } from "../../agent/cluster/kubernetes/kubernetes_store.ts";
import { Log } from "../../agent/core/log.ts";
import { ApiClient } from "../../agent/kubernetes/client/api_client.ts";
import { kubeconfigReader } from "../../agent/kubernetes/client/kubeconfig.ts";
import { SavedObjects } from "../../agent/kubernetes/watch/saved_objects.ts";
import type { ControlPlane, TestUser } from "./control_plane.ts";

export const SLICES = "/apis/cilium.io/v2alpha1/ciliumendpointslices";
export const IDENTITIES = "/apis/cilium.io/v2/ciliumidentities";

/** Of what nodes remember: a file that has been closed is not free before its statements are collected. */
let epoch = 0;

/** Nodes that start from now on remember nothing. */
export function forget(): void {
  epoch++;
}

/** A store with connections and a file of its own, as a node has it. */
export class NodeStore extends KubernetesStore {
  readonly client: ApiClient;
  readonly #saved: SavedObjects;

  constructor(plane: ControlPlane, node: string, user?: TestUser, servers?: string[]) {
    const access = kubeconfigReader(plane.kubeconfig(user), servers);
    const client = new ApiClient({ access, userAgent: "pilus/test" });
    const saved = new SavedObjects(`${plane.directory}/${node}-${epoch}.db`);
    const timing = { firstBackoff: 50, mostBackoff: 200, mostResumeBackoff: 200 };
    super({ client, saved, node, log: new Log("error"), startPatienceMs: 100, timing });
    this.client = client;
    this.#saved = saved;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    this.client[Symbol.dispose]();
    this.#saved[Symbol.dispose]();
  }
}

/** Nothing is published, and no node remembers anything. */
export async function clear(plane: ControlPlane): Promise<void> {
  for (const path of [SLICES, IDENTITIES]) await plane.request("DELETE", path);
  forget();
}

/** All that are published. */
export const slicesOf = async (plane: ControlPlane) =>
  (await plane.request("GET", SLICES))["items"] as {
    metadata: { name: string; ownerReferences: unknown; resourceVersion: string };
    endpoints: { name: string }[];
  }[];

/** Of which a store knows. */
export const podsOf = ({ addresses }: KubernetesStore) =>
  [...new Set(addresses.rows().map(({ pod }) => pod))].sort();

/**
 * Which identity each endpoint of this node has: from the labels of its pod. An endpoint whose Pod no
 * source has is `init`; one that no manifest can describe is `unmanaged`.
 */

import type { Timer } from "../../core/timer.ts";
import { type Endpoint, podKey } from "../../api/endpoint.ts";
import { containerPortsOf, serviceAccountOf } from "../../kubernetes/pods_and_nodes.ts";
import type { NamedPort, Namespace, Pod } from "../../kubernetes/resources.ts";
import { Runner } from "../../core/runner.ts";
import { remembered } from "../../core/remembered.ts";
import { settled } from "../../core/schedule.ts";
import { Table } from "../../core/table.ts";
import type { IdentityAllocator } from "../../cluster/cluster_store.ts";
import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import { identityLabels, type LabelMap, labelsKey } from "../../cluster/labels.ts";

/** An endpoint with what it is by its labels. */
export interface IdentifiedEndpoint {
  endpoint: Endpoint;
  identity: number;
  labels: LabelMap;
  namedPorts: NamedPort[];
  serviceAccount: string;
}

/** A table of identified endpoints by the endpoint's number. */
export function identifiedTable(): Table<IdentifiedEndpoint> {
  return new Table<IdentifiedEndpoint>({
    name: "endpoint-identities",
    key: ({ endpoint }) => String(endpoint.id),
  });
}

export interface EndpointIdentitiesOptions {
  endpoints: Table<Endpoint>;
  pods: Table<Pod>;
  namespaces: Table<Namespace>;
  output: Table<IdentifiedEndpoint>;
  /** What it has given policies know: what an endpoint says first must not be denied. */
  allocator: IdentityAllocator;
  onError: (endpoint: Endpoint, error: Error) => void;
  /**
   * Milliseconds that an endpoint keeps its identity, and so its policy, after its Pod has gone: a
   * manifest that moves to another file, or a file that is written in two steps, cuts nothing.
   *
   * @default {500}
   */
  holdMs?: number;
}

/** An identity that does not come from labels of a Pod. */
function reserved(endpoint: Endpoint, name: "init" | "unmanaged"): IdentifiedEndpoint {
  return {
    endpoint,
    identity: RESERVED_IDENTITIES[name],
    labels: { [`reserved:${name}`]: "" },
    namedPorts: [],
    serviceAccount: "default",
  };
}

/** Keeps `output` true; an endpoint whose number cannot be had keeps the one it has. */
export class EndpointIdentities implements Disposable {
  readonly #options: EndpointIdentitiesOptions;
  readonly #watches: Disposable[];
  readonly #runner = new Runner("endpoint-identities", () => this.#assign());
  #retry: Timer | undefined;
  readonly #holdMs: number;
  readonly #factsOf = remembered(factsOf);
  /** When the Pod of an endpoint was found to have gone, by the endpoint's number. */
  readonly #goneAt = new Map<number, number>();
  #release: Timer | undefined;

  constructor(options: EndpointIdentitiesOptions) {
    this.#options = options;
    this.#holdMs = options.holdMs ?? 500;
    const run = () => this.#runner.request();
    this.#watches = [
      options.endpoints.watch(run),
      options.pods.watch(run),
      options.namespaces.watch(run),
    ];
    run();
  }

  /** Resolves when the output stands for all changes made up to now. */
  async settled(): Promise<void> {
    await settled();
    await this.#runner.run();
  }

  async #assign(): Promise<void> {
    const { endpoints, output, onError } = this.#options;
    // side by side: a new number is some calls of the file system
    const rows = await Promise.all(
      endpoints.rows().map(async (endpoint) => {
        try {
          return await this.#identify(endpoint);
        } catch (error) {
          onError(endpoint, error as Error);
          clearTimeout(this.#retry);
          this.#retry = setTimeout(() => this.#runner.request(), 1000);
          return undefined;
        }
      }),
    );
    // all at once: what is derived from them is derived once
    for (const row of rows) if (row) output.set(row);
    const live = new Set(endpoints.rows().map(({ id }) => String(id)));
    for (const key of output.keys()) if (!live.has(key)) output.delete(key);
    for (const id of this.#goneAt.keys()) if (!live.has(String(id))) this.#goneAt.delete(id);
  }

  async #identify(endpoint: Endpoint): Promise<IdentifiedEndpoint> {
    const { pods, namespaces, allocator, output } = this.#options;
    const key = podKey(endpoint);
    if (key === undefined) return reserved(endpoint, "unmanaged");
    const pod = pods.get(key);
    const before = output.get(String(endpoint.id));
    if (!pod) {
      const holds = before !== undefined && this.#holds(before);
      return holds ? { ...before, endpoint } : reserved(endpoint, "init");
    }
    this.#goneAt.delete(endpoint.id);
    const facts = this.#factsOf(pod, namespaces.get(endpoint.namespace));
    const { labels } = facts;
    const identity = before && sameLabels(before.labels, labels)
      ? before.identity
      : await allocator.allocate(labels);
    return { endpoint, identity, ...facts };
  }

  /** Whether an endpoint without Pod keeps the identity it has; if so, it is asked for again in time. */
  #holds({ endpoint: { id }, identity }: IdentifiedEndpoint): boolean {
    if (identity === RESERVED_IDENTITIES.init) return false;
    const now = performance.now();
    const goneAt = this.#goneAt.get(id) ?? now;
    const left = goneAt + this.#holdMs - now;
    if (left <= 0) {
      this.#goneAt.delete(id);
      return false;
    }
    this.#goneAt.set(id, goneAt);
    this.#release ??= setTimeout(() => {
      this.#release = undefined;
      this.#runner.request();
    }, left);
    return true;
  }

  [Symbol.dispose](): void {
    void this.#runner.stop();
    clearTimeout(this.#retry);
    clearTimeout(this.#release);
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }
}

/** What the Pod says of its endpoint. */
function factsOf(pod: Pod, namespace: Namespace | undefined) {
  return {
    labels: identityLabels(pod, namespace),
    namedPorts: namedPortsOf(pod),
    serviceAccount: serviceAccountOf(pod),
  };
}

function sameLabels(a: LabelMap, b: LabelMap): boolean {
  return a === b || labelsKey(a) === labelsKey(b);
}

function namedPortsOf(pod: Pod): NamedPort[] {
  return containerPortsOf(pod).flatMap(({ name, containerPort, protocol = "TCP" }) =>
    name ? [{ name, port: containerPort, protocol }] : []
  );
}

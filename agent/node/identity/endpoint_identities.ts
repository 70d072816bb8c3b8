/** Which identity each endpoint of this node has: from the labels of its pod. */

import type { Timer } from "../../core/timer.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import type { NamedPort, Namespace, Pod } from "../../kubernetes/resources.ts";
import { Runner } from "../../core/runner.ts";
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
}

/** An endpoint whose pod no source knows (yet). */
const INIT_LABELS: LabelMap = { "reserved:init": "" };

/** Keeps `output` true; an endpoint whose number cannot be had keeps the one it has. */
export class EndpointIdentities implements Disposable {
  readonly #options: EndpointIdentitiesOptions;
  readonly #watches: Disposable[];
  readonly #runner = new Runner("endpoint-identities", () => this.#assign());
  #retry: Timer | undefined;

  constructor(options: EndpointIdentitiesOptions) {
    this.#options = options;
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
    const rows: IdentifiedEndpoint[] = [];
    for (const endpoint of endpoints.rows()) {
      try {
        rows.push(await this.#identify(endpoint));
      } catch (error) {
        onError(endpoint, error as Error);
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.#runner.request(), 1000);
      }
    }
    // all at once: what is derived from them is derived once
    for (const row of rows) output.set(row);
    const live = new Set(endpoints.rows().map(({ id }) => String(id)));
    for (const key of output.keys()) if (!live.has(key)) output.delete(key);
  }

  async #identify(endpoint: Endpoint): Promise<IdentifiedEndpoint> {
    const { pods, namespaces, allocator, output } = this.#options;
    const pod = pods.get(`${endpoint.namespace}/${endpoint.pod}`);
    if (!pod) {
      return {
        endpoint,
        identity: RESERVED_IDENTITIES.init,
        labels: INIT_LABELS,
        namedPorts: [],
        serviceAccount: "default",
      };
    }
    const labels = identityLabels(pod, namespaces.get(endpoint.namespace));
    const before = output.get(String(endpoint.id));
    const identity = before && labelsKey(before.labels) === labelsKey(labels)
      ? before.identity
      : await allocator.allocate(labels);
    return {
      endpoint,
      identity,
      labels,
      namedPorts: namedPortsOf(pod),
      serviceAccount: pod.spec?.serviceAccountName ?? "default",
    };
  }

  [Symbol.dispose](): void {
    void this.#runner.stop();
    clearTimeout(this.#retry);
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }
}

function namedPortsOf(pod: Pod): NamedPort[] {
  return (pod.spec?.containers ?? []).flatMap(({ ports = [] }) =>
    ports.flatMap(({ name, containerPort, protocol = "TCP" }) =>
      name ? [{ name, port: containerPort, protocol }] : []
    )
  );
}

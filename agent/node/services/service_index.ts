/** Which services a changed row affects, and what belongs to each. */

import { rowsOf } from "../../core/derive_groups.ts";
import { GroupIndex } from "../../core/group_index.ts";
import type { Change, Table } from "../../core/table.ts";
import { namespaceOf, type RemoteAddress } from "../../cluster/rows.ts";
import type { EndpointSlice, Service } from "../../kubernetes/resources.ts";
import { selects } from "./port_backends.ts";

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** The key of the service that a slice belongs to. */
export function sliceOwners({ metadata }: EndpointSlice): string[] {
  const name = metadata.labels[SERVICE_NAME_LABEL];
  return name ? [`${metadata.namespace}/${name}`] : [];
}

/** Follows the changes that it is given; each returns the keys of the services that it affects. */
export class ServiceIndex {
  readonly #services: Table<Service>;
  readonly #slices = new GroupIndex(sliceOwners);
  readonly #addresses = new GroupIndex<RemoteAddress>((row) => [namespaceOf(row)]);
  /** Services without EndpointSlices, whose selectors count, by namespace. */
  readonly #selecting = new GroupIndex<Service>(({ metadata }) => [metadata.namespace]);

  constructor(services: Table<Service>) {
    this.#services = services;
  }

  /** The EndpointSlices of a service; undefined when it has none. */
  slices(service: string): EndpointSlice[] | undefined {
    return this.#slices.has(service) ? this.#slices.rows(service) : undefined;
  }

  /** The addresses of published pods of a namespace. */
  addresses(namespace: string): RemoteAddress[] {
    return this.#addresses.rows(namespace);
  }

  serviceChanged(change: Change<Service>): string[] {
    this.#selecting.apply(change);
    this.#keepSelecting(change.key);
    return [change.key];
  }

  sliceChanged(change: Change<EndpointSlice>): Iterable<string> {
    const owners = this.#slices.apply(change);
    for (const owner of owners) this.#keepSelecting(owner);
    return owners;
  }

  addressChanged(change: Change<RemoteAddress>): string[] {
    const rows = [...rowsOf(change)];
    const [namespace] = this.#addresses.apply(change);
    return this.#selecting.rows(namespace!)
      .filter((service) => rows.some((row) => selects(service, row)))
      .map((service) => this.#services.keyOf(service));
  }

  #keepSelecting(key: string): void {
    const row = this.#services.get(key);
    if (!row) return;
    if (this.#slices.has(key)) {
      this.#selecting.apply({ kind: "deleted", key, previous: row });
    } else this.#selecting.apply({ kind: "added", key, row });
  }
}

/** Which services a changed row affects, and what belongs to each. */

import { rowsOf } from "../../core/derive_groups.ts";
import type { Change, Table } from "../../core/table.ts";
import { namespaceOf as namespaceOfAddress, type RemoteAddress } from "../../cluster/rows.ts";
import type { EndpointSlice, Resource, Service } from "../../kubernetes/resources.ts";
import { selects } from "./port_backends.ts";

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** Rows by the group that they belong to. */
class GroupIndex<Row> {
  readonly #groups = new Map<string, Map<string, Row>>();

  get(group: string): ReadonlyMap<string, Row> | undefined {
    return this.#groups.get(group);
  }

  apply(change: Change<Row>, groupOf: (row: Row) => string | undefined): void {
    if (change.kind !== "added") {
      const group = groupOf(change.previous);
      const rows = group === undefined ? undefined : this.#groups.get(group);
      rows?.delete(change.key);
      if (rows?.size === 0) this.#groups.delete(group!);
    }
    if (change.kind === "deleted") return;
    const group = groupOf(change.row);
    if (group === undefined) return;
    let rows = this.#groups.get(group);
    if (!rows) this.#groups.set(group, rows = new Map());
    rows.set(change.key, change.row);
  }
}

const sliceOwner = ({ metadata }: EndpointSlice): string | undefined => {
  const name = metadata.labels[SERVICE_NAME_LABEL];
  return name ? `${metadata.namespace}/${name}` : undefined;
};

const namespaceOf = ({ metadata }: Resource): string => metadata.namespace;

/** Follows the changes that it is given; each returns the keys of the services that it affects. */
export class ServiceIndex {
  readonly #services: Table<Service>;
  readonly #slices = new GroupIndex<EndpointSlice>();
  readonly #addresses = new GroupIndex<RemoteAddress>();
  /** Services without EndpointSlices, whose selectors count. */
  readonly #selecting = new GroupIndex<Service>();

  constructor(services: Table<Service>) {
    this.#services = services;
  }

  /** The EndpointSlices of a service; undefined when it has none. */
  slices(service: string): EndpointSlice[] | undefined {
    const slices = this.#slices.get(service);
    return slices && [...slices.values()];
  }

  /** The addresses of published pods of a namespace. */
  addresses(namespace: string): RemoteAddress[] {
    return [...this.#addresses.get(namespace)?.values() ?? []];
  }

  serviceChanged(change: Change<Service>): string[] {
    this.#selecting.apply(change, namespaceOf);
    this.#keepSelecting(change.key);
    return [change.key];
  }

  sliceChanged(change: Change<EndpointSlice>): string[] {
    this.#slices.apply(change, sliceOwner);
    const owners = [...rowsOf(change)].flatMap((slice) => sliceOwner(slice) ?? []);
    for (const owner of owners) this.#keepSelecting(owner);
    return owners;
  }

  addressChanged(change: Change<RemoteAddress>): string[] {
    this.#addresses.apply(change, namespaceOfAddress);
    const rows = [...rowsOf(change)];
    const services = this.#selecting.get(namespaceOfAddress(rows[0]!)) ??
      new Map<string, Service>();
    return [...services].filter(([, service]) => rows.some((row) => selects(service, row)))
      .map(([key]) => key);
  }

  #keepSelecting(key: string): void {
    const row = this.#services.get(key);
    if (!row) return;
    if (this.#slices.get(key)) {
      this.#selecting.apply({ kind: "deleted", key, previous: row }, namespaceOf);
    } else this.#selecting.apply({ kind: "added", key, row }, namespaceOf);
  }
}

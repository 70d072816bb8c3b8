/** The tables that sources fill: one a kind, and what sources have to complain about. */

import { type Resource, resourceKey, type ResourceKind, type ResourceKinds } from "../resources.ts";
import { Table } from "./table.ts";

/** Something in a source, or between its resources, that somebody has to put right. */
export interface Problem {
  /** The file, or the resource when there is none, such as `CiliumEndpoint demo/web`. */
  source: string;
  /** Counted from 1; undefined when it is no matter of one line. */
  line?: number;
  message: string;
}

/** One table a kind, and the problems. */
export type ResourceTables =
  & { [Kind in ResourceKind]: Table<ResourceKinds[Kind]> }
  & { problems: Table<Problem> };

function resourceTable<Row extends Resource>(name: string): Table<Row> {
  return new Table<Row>({ name, key: resourceKey });
}

/** A table for {@linkcode Problem} rows. */
export function problemTable(name: string): Table<Problem> {
  return new Table<Problem>({
    name,
    key: ({ source, line, message }) => `${source}:${line ?? ""}:${message}`,
  });
}

/** New, empty tables. */
export function createResourceTables(): ResourceTables {
  return {
    Namespace: resourceTable("namespaces"),
    Pod: resourceTable("pods"),
    Service: resourceTable("services"),
    EndpointSlice: resourceTable("endpoint-slices"),
    NetworkPolicy: resourceTable("network-policies"),
    CiliumNetworkPolicy: resourceTable("cilium-network-policies"),
    CiliumClusterwideNetworkPolicy: resourceTable("cilium-clusterwide-network-policies"),
    Node: resourceTable("nodes"),
    CiliumEndpoint: resourceTable("cilium-endpoints"),
    CiliumIdentity: resourceTable("cilium-identities"),
    problems: problemTable("problems"),
  };
}

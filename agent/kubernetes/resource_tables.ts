/** The tables that sources fill: one a kind, and what sources have to complain about. */

import { type Resource, resourceKey, type ResourceKind, type ResourceKinds } from "./resources.ts";
import { type Problem, problemTable } from "../core/problem.ts";
import { Table } from "../core/table.ts";

/** One table a kind, and the problems. */
export type ResourceTables =
  & { [Kind in ResourceKind]: Table<ResourceKinds[Kind]> }
  & { problems: Table<Problem> };

function resourceTable<Row extends Resource>(name: string): Table<Row> {
  return new Table<Row>({ name, key: resourceKey });
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
    problems: problemTable("problems"),
  };
}

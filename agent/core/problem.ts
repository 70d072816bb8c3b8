/** What is wrong in what users want, as data: a row can become a status condition of its resource. */

import { derivationFailures } from "./derivation_failures.ts";
import { Table } from "./table.ts";

/** A resource by its name. */
export interface ObjectReference {
  kind: string;
  /** Empty for a resource of the whole cluster. */
  namespace: string;
  name: string;
}

/** Something in a source, or between its resources, that has to be put right. */
export interface Problem {
  /** The file, or the resource when there is none, such as `CiliumEndpoint demo/web`. */
  source: string;
  /** The resource, when it is about one. */
  object?: ObjectReference;
  /** Path within the resource, such as `spec.ingress[0]`. */
  field?: string;
  /** Line in the file, counted from 1; undefined when it is not about one line. */
  line?: number;
  /** The kind of problem as one CamelCase word, like the reason of a Kubernetes condition. */
  reason?: string;
  message: string;
}

/** A table for {@linkcode Problem} rows. */
export function problemTable(name: string): Table<Problem> {
  return new Table<Problem>({
    name,
    key: ({ source, line, message }) => `${source}:${line ?? ""}:${message}`,
  });
}

/** `kind namespace/name`, or `kind name` for a resource of the whole cluster. */
export function formatObject({ kind, namespace, name }: ObjectReference): string {
  return `${kind} ${namespace === "" ? name : `${namespace}/${name}`}`;
}

/** The derivations that fail now, as problems. */
export function derivationProblems(): Problem[] {
  return derivationFailures().map(({ table, key, reason }) => ({
    source: `table ${table}`,
    ...(key === "" ? {} : { field: key }),
    reason: "DerivationFailed",
    message: `${
      key === "" ? "" : `${key}: `
    }cannot be derived, so the rows from before stay: ${reason}`,
  }));
}

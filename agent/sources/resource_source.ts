/** What users want, wherever they write it, as tables of resources. */

import { deriveGroups, groupInput } from "../core/derive_groups.ts";
import { derive } from "../core/derive.ts";
import { formatObject, type Problem, problemTable } from "../core/problem.ts";
import type { Table } from "../core/table.ts";
import { createResourceTables, type ResourceTables } from "../kubernetes/resource_tables.ts";
import type { Resource, ResourceKind } from "../kubernetes/resources.ts";

/** Fills its tables and keeps them as users say. Dispose of it to stop that: the tables stay. */
export interface ResourceSource extends AsyncDisposable {
  /** Its kind and place, such as `files:/etc/pilus/manifests`. */
  readonly name: string;
  readonly tables: ResourceTables;
  /** How many resources of kinds that pilus does not read there are, by `apps/v1/Deployment`. */
  readonly ignored: ReadonlyMap<string, number>;
  /** Whether it has the Pods of other nodes, too. */
  readonly hasAllPods: boolean;
  /** Resolves when the tables are complete. */
  start(): Promise<void>;
  /** What of its tables may not be as users say by now, since when and why; undefined when all is. */
  staleness?(): string | undefined;
}

/** Resource tables of several sources as one. */
export interface MergedTables extends Disposable {
  tables: ResourceTables;
}

/**
 * Merges what sources say. Of two that have a resource of one name the first keeps it, and the other's
 * is a problem.
 */
export function mergeSources(sources: readonly Pick<ResourceSource, "tables">[]): MergedTables {
  const [only] = sources;
  if (only && sources.length === 1) return { tables: only.tables, [Symbol.dispose]() {} };
  const stack = new DisposableStack();
  const tables = createResourceTables();
  const { problems, ...kinds } = tables;
  const conflicts = (Object.keys(kinds) as ResourceKind[]).map((kind) => {
    const inputs = sources.map((source) => source.tables[kind] as Table<Resource>);
    const found = problemTable(`${kinds[kind].name}-conflicts`);
    stack.use(deriveGroups<Resource>({
      inputs: inputs.map((input) => groupInput(input, ({ key }) => [key])),
      output: kinds[kind] as Table<Resource>,
      problems: found,
      compute(key) {
        const [first, ...others] = inputs.flatMap((input) => input.get(key) ?? []);
        if (!first) return { rows: [] };
        return { rows: [first], problems: others.map(conflict) };
      },
    }));
    return found;
  });
  const all = [...sources.map((source) => source.tables.problems), ...conflicts];
  stack.use(derive(all, () => all.flatMap((table) => table.rows()), problems));
  return { tables, [Symbol.dispose]: () => stack.dispose() };
}

function conflict({ kind, metadata: { namespace, name } }: Resource): Problem {
  const object = { kind, namespace, name };
  return {
    source: formatObject(object),
    object,
    reason: "Duplicate",
    message: "is in more than one source, and the first is used; remove the others",
  };
}

/** From what each file says to the tables: a resource of two files is the first one's. */

import type { Problem } from "../../core/problem.ts";
import type { Table } from "../../core/table.ts";
import { TimeSlice } from "../../core/time_slice.ts";
import type { DocumentProblem } from "../../kubernetes/parsed_document.ts";
import type { Manifest, ManifestResource } from "../../kubernetes/manifest.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import { type Resource, resourceKey, type ResourceKind } from "../../kubernetes/resources.ts";

/** A file as it is to be published. */
export interface PlacedFile {
  readonly path: string;
  /** What is in force: this version's, or an earlier one's while this one does not count. */
  readonly inForce: Manifest | undefined;
  readonly problems: readonly DocumentProblem[];
  /** Why what is in force would not be after a restart. */
  readonly unkept: string | undefined;
  /** It is there no more: what another file says, too, has moved there. */
  readonly gone: boolean;
  /** What is to be in force in a moment. */
  readonly expected: Manifest | undefined;
  /** What is to be in force in a moment is being read. */
  readonly reading: boolean;
}

/** A resource and the file that it is of. */
interface Claim {
  path: string;
  entry: ManifestResource;
}

/** In parts, what restricts comes first and goes last. */
const ORDER: readonly ResourceKind[] = [
  "NetworkPolicy",
  "CiliumNetworkPolicy",
  "CiliumClusterwideNetworkPolicy",
  "Namespace",
  "Node",
  "Pod",
  "EndpointSlice",
  "Service",
];

/** Rows between looks at the clock. */
const ROWS = 32;

/** Duplicates of one file that are reported. */
const MAX_DUPLICATES = 100;

/**
 * Makes the tables what the files say, in the order of their paths. `problems` are others than the
 * files'. Many changes are made in parts, and other work gets its turn in between. Returns how many
 * resources there are of each kind that is not read, as `apps/v1/Deployment`.
 */
export async function publish(
  files: readonly PlacedFile[],
  problems: Problem[],
  tables: ResourceTables,
): Promise<Map<string, number>> {
  const slice = new TimeSlice();
  let rows = 0;
  const isOver = () => ++rows % ROWS === 0 && slice.over;
  const claims = new Map(ORDER.map((kind) => [kind, new Map<string, Claim>()]));
  const ignored = new Map<string, number>();
  const byPath = files.toSorted((a, b) => a.path < b.path ? -1 : 1);
  for (
    const file of [
      ...byPath.filter(({ gone }) => !gone),
      ...byPath.filter(({ gone }) => gone),
    ]
  ) {
    const { path, inForce, gone, unkept } = file;
    problems.push(...problemsOf(file));
    if (unkept !== undefined) problems.push({ source: path, message: unkept });
    for (const [name, count] of inForce?.ignored ?? []) {
      ignored.set(name, (ignored.get(name) ?? 0) + count);
      if (/policy$/i.test(name)) problems.push(unreadPolicy(path, name, count));
    }
    let duplicates = 0;
    for (const entry of inForce?.resources ?? []) {
      if (isOver()) await slice.next();
      const ofKind = claims.get(entry.kind)!;
      const key = resourceKey(entry.resource);
      const first = ofKind.get(key);
      if (!first) ofKind.set(key, { path, entry });
      else if (!gone && ++duplicates <= MAX_DUPLICATES) {
        problems.push(duplicate({ path, entry }, key, first));
      }
    }
    if (duplicates > MAX_DUPLICATES) {
      const more = duplicates - MAX_DUPLICATES;
      problems.push({ source: path, message: `has ${more} more resources that are there already` });
    }
  }
  const tableOf = (kind: ResourceKind) => tables[kind] as Table<Resource>;
  for (const [kind, ofKind] of claims) {
    const table = tableOf(kind);
    for (const [key, { entry }] of ofKind) {
      if (isOver()) await slice.next();
      table.set(entry.resource, key);
      // one that says the same as before is there once, not twice
      entry.resource = table.get(key) as typeof entry.resource;
    }
  }
  // what has left its file for one that does not count yet stays meanwhile
  const reading = files.some((file) => file.reading);
  const expected = new Set<string>();
  for (const file of files) {
    for (const { kind, resource } of file.expected?.resources ?? []) {
      if (isOver()) await slice.next();
      expected.add(`${kind} ${resourceKey(resource)}`);
    }
  }
  for (const kind of ORDER.toReversed()) {
    for (const key of tableOf(kind).keys()) {
      if (isOver()) await slice.next();
      const kept = claims.get(kind)!.has(key) || reading || expected.has(`${kind} ${key}`);
      if (!kept) tableOf(kind).delete(key);
    }
  }
  tables.problems.replace(problems);
  return ignored;
}

/** Who writes a policy takes it for one that is in force. */
function unreadPolicy(path: string, name: string, count: number): Problem {
  const [one, has] = count === 1 ? ["resource", "is"] : ["resources", "are"];
  return {
    source: path,
    reason: "NotRead",
    message: `has ${count} ${one} of ${name}, which ${has} not read: what ` +
      "it denies is not denied; pilus reads NetworkPolicy of networking.k8s.io/v1, and " +
      "CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy of cilium.io/v2",
  };
}

function problemsOf({ path, problems, inForce }: PlacedFile): Problem[] {
  const effect = inForce
    ? " (the last good version of the file stays in force)"
    : " (nothing of the file is in force)";
  return problems.map(({ line, message }) => ({ source: path, line, message: message + effect }));
}

function duplicate({ path, entry: { kind, resource, line } }: Claim, key: string, first: Claim) {
  const { namespace, name } = resource.metadata;
  const owner = `${first.path}:${first.entry.line}`;
  return {
    source: path,
    object: { kind, namespace, name },
    line,
    reason: "Duplicate",
    message: `${kind} ${key} is in ${owner} already, and that one is used; remove one`,
  };
}

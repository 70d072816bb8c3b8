/** The endpoints of EndpointSlices as texts: a tenth of what their objects weigh. */

import type { SliceEndpoint, SliceEndpoints } from "./resources.ts";

type Packed = [
  addresses: string | string[],
  /** `+`, `-` or `?` for ready, serving and terminating. */
  conditions: string,
  node?: string | null,
  zone?: string | null,
  /** Namespace and name. */
  pod?: [string | null, string] | null,
  forZones?: string[] | null,
  forNodes?: string[] | null,
];

/** In the order of their marks. */
const CONDITIONS = ["ready", "serving", "terminating"] as const;

const named = (names: readonly string[]) => names.map((name) => ({ name }));

const mark = (condition: boolean | null | undefined) =>
  condition === true ? "+" : condition === false ? "-" : "?";

/** Keeps of an endpoint what {@linkcode SliceEndpoint} names, and of targets the pods. */
export function packEndpoints(endpoints: readonly SliceEndpoint[]): SliceEndpoints {
  const rows = endpoints.map((endpoint): Packed => {
    const { addresses, conditions: c, nodeName, zone, targetRef, hints } = endpoint;
    const row: unknown[] = [
      addresses.length === 1 ? addresses[0]! : addresses,
      mark(c?.ready) + mark(c?.serving) + mark(c?.terminating),
      nodeName ?? null,
      zone ?? null,
      targetRef?.kind === "Pod" && targetRef.name
        ? [targetRef.namespace ?? null, targetRef.name]
        : null,
      hints?.forZones?.map(({ name }) => name) ?? null,
      hints?.forNodes?.map(({ name }) => name) ?? null,
    ];
    while (row.at(-1) === null) row.pop();
    return row as Packed;
  });
  return { text: JSON.stringify(rows), length: rows.length };
}

/** By their marks: objects that all endpoints share, so nothing of them may be changed. */
const conditionsOf = new Map<string, NonNullable<SliceEndpoint["conditions"]>>();

function unpackConditions(marks: string): NonNullable<SliceEndpoint["conditions"]> {
  let conditions = conditionsOf.get(marks);
  if (!conditions) {
    conditions = {};
    for (const [at, name] of CONDITIONS.entries()) {
      if (marks[at] !== "?") conditions[name] = marks[at] === "+";
    }
    conditionsOf.set(marks, conditions);
  }
  return conditions;
}

/** Objects anew with each call, but for the conditions. */
export function unpackEndpoints({ text }: SliceEndpoints): SliceEndpoint[] {
  // assigned, not spread: there are very many
  return (JSON.parse(text) as Packed[]).map((row) => {
    const [addresses, conditions, node, zone, pod, forZones, forNodes] = row;
    const endpoint: SliceEndpoint = {
      addresses: typeof addresses === "string" ? [addresses] : addresses,
      conditions: unpackConditions(conditions),
    };
    if (node) endpoint.nodeName = node;
    if (zone) endpoint.zone = zone;
    if (forZones || forNodes) {
      endpoint.hints = {
        ...(forZones ? { forZones: named(forZones) } : {}),
        ...(forNodes ? { forNodes: named(forNodes) } : {}),
      };
    }
    if (pod) {
      endpoint.targetRef = { kind: "Pod", name: pod[1] };
      if (pod[0]) endpoint.targetRef.namespace = pod[0];
    }
    return endpoint;
  });
}

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

/** Objects anew with each call. */
export function unpackEndpoints({ text }: SliceEndpoints): SliceEndpoint[] {
  return (JSON.parse(text) as Packed[]).map((row) => {
    const [addresses, conditions, nodeName, zone, pod, forZones, forNodes] = row;
    const condition = (at: number) => conditions[at] === "?" ? undefined : conditions[at] === "+";
    const [ready, serving, terminating] = [condition(0), condition(1), condition(2)];
    const names = (list: string[]) => list.map((name) => ({ name }));
    return {
      addresses: typeof addresses === "string" ? [addresses] : addresses,
      conditions: {
        ...(ready === undefined ? {} : { ready }),
        ...(serving === undefined ? {} : { serving }),
        ...(terminating === undefined ? {} : { terminating }),
      },
      ...(nodeName ? { nodeName } : {}),
      ...(zone ? { zone } : {}),
      ...(forZones || forNodes
        ? {
          hints: {
            ...(forZones ? { forZones: names(forZones) } : {}),
            ...(forNodes ? { forNodes: names(forNodes) } : {}),
          },
        }
        : {}),
      ...(pod
        ? { targetRef: { kind: "Pod", name: pod[1], ...(pod[0] ? { namespace: pod[0] } : {}) } }
        : {}),
    };
  });
}

/** Which backends of a frontend get new connections of clients at one place. */

import { equalIp, tryParseIp } from "../../../datapath/net/ip.ts";
import type { Service } from "../../kubernetes/resources.ts";
import { type Backend, type BackendList, unpackBackends } from "./backend.ts";

/** The client's place. */
export interface Place {
  node: string;
  /** The node's own addresses. */
  addresses: readonly Uint8Array[];
  zone: string | undefined;
}

/** What decides which of the backends get new connections. */
export interface Preference {
  /** Those of this node alone. */
  localOnly: boolean;
  /** trafficDistribution. */
  near: Service["spec"]["trafficDistribution"] | undefined;
}

/** Backends of a list that are of use to clients of one kind. */
export interface Choice {
  /** Their indices in the list, a character each; first those for new connections. */
  order: string;
  /** How many get new connections. */
  count: number;
}

export const NO_CHOICE: Choice = { order: "", count: 0 };

/** The choice among all backends of a family for clients at `place`. */
export function choose(
  family: readonly Backend[],
  { localOnly, near }: Preference,
  place: Place,
): Choice {
  const able = localOnly ? family.filter(({ local }) => local) : family;
  const preferred = new Set(nearest(eligible(able), near, place));
  let first = "", rest = "";
  for (const [i, backend] of family.entries()) {
    if (preferred.has(backend)) first += String.fromCharCode(i);
    else if (!localOnly || backend.local) rest += String.fromCharCode(i);
  }
  return { order: first + rest, count: preferred.size };
}

/** The chosen backends of the list, in order. Objects anew with each call. */
export function chosenBackends(list: BackendList, { order }: Choice): Backend[] {
  const backends = order === "" ? [] : unpackBackends(list);
  return chosenIndices({ order }).map((index) => backends[index]!);
}

export function chosenIndices({ order }: Pick<Choice, "order">): number[] {
  return Array.from({ length: order.length }, (_, i) => order.charCodeAt(i));
}

function eligible(backends: readonly Backend[]): Backend[] {
  const able = backends.filter(({ weight }) => weight > 0);
  for (const state of ["active", "terminating", "quarantined"] as const) {
    const found = able.filter((backend) => backend.state === state);
    if (found.length > 0) return found;
  }
  return [];
}

function isOn(place: Place, { node, local }: Backend): boolean {
  if (local || node === place.node) return true;
  const ip = node === undefined ? undefined : tryParseIp(node);
  return ip !== undefined && place.addresses.some((own) => equalIp(own, ip));
}

/**
 * Hints count when every backend has some and one is for here, as in kube-proxy; without them
 * trafficDistribution is followed by this node itself.
 */
function nearest(
  backends: Backend[],
  near: Preference["near"],
  place: Place,
): Backend[] {
  if (backends.length > 0 && backends.every(({ forNodes }) => forNodes?.length)) {
    const here = backends.filter(({ forNodes }) => forNodes!.includes(place.node));
    if (here.length > 0) return here;
  }
  if (place.zone && backends.length > 0 && backends.every(({ forZones }) => forZones?.length)) {
    const here = backends.filter(({ forZones }) => forZones!.includes(place.zone!));
    if (here.length > 0) return here;
  }
  if (near === "PreferSameNode") {
    const here = backends.filter((backend) => isOn(place, backend));
    if (here.length > 0) return here;
  }
  if (near && place.zone) {
    const here = backends.filter(({ zone }) => zone === place.zone);
    if (here.length > 0) return here;
  }
  return backends;
}

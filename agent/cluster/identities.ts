/** Numbers of identities. */

import type { LabelMap } from "./labels.ts";

/** The first and the last number for label sets of the cluster. */
export const IDENTITY_MIN = 256;
export const IDENTITY_MAX = 65535;

/** Identities that have the same number everywhere (Cilium's numbers). */
export const RESERVED_IDENTITIES = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  "remote-node": 6,
  "kube-apiserver": 7,
  ingress: 8,
  "world-ipv4": 9,
  "world-ipv6": 10,
} as const;

/** The labels of the reserved identities, by number. Another node with an API server is both. */
export function reservedIdentities(): { id: number; labels: LabelMap }[] {
  const alsoNode = { "reserved:remote-node": "" };
  return Object.entries(RESERVED_IDENTITIES).filter(([, id]) => id !== 0)
    .map(([name, id]) => ({
      id,
      labels: { [`reserved:${name}`]: "", ...name === "kube-apiserver" ? alsoNode : {} },
    }));
}

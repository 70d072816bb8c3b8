/** What nodes tell each other, wherever they keep it. */

import type { Problem } from "../core/problem.ts";
import type { Target } from "../core/reconciler.ts";
import { Table } from "../core/table.ts";
import type { LabelMap } from "./labels.ts";
import {
  type IdentityRow,
  type PublishedEndpoint,
  type RemoteAddress,
  remoteAddressKey,
} from "./rows.ts";

/** Gives numbers to label sets. */
export interface IdentityAllocator {
  /**
   * The number of the labels, the same on every node. Resolves when it is in the store's table of
   * identities. Throws RangeError when all numbers are taken.
   */
  allocate(labels: LabelMap): Promise<number>;
}

/** Fills its tables and keeps them as the cluster is. Dispose of it to stop that. */
export interface ClusterStore extends IdentityAllocator, AsyncDisposable {
  /** Of all nodes, this one too. */
  readonly addresses: Table<RemoteAddress>;
  readonly identities: Table<IdentityRow>;
  readonly problems: Table<Problem>;
  /** Where this node's endpoints go: a reconciler brings it to the desired rows. */
  readonly endpoints: Target<PublishedEndpoint>;
  /** Resolves when the tables are complete. */
  start(): Promise<void>;
  /** What of its tables may not be so by now, since when and why; undefined when all is. */
  staleness?(): string | undefined;
}

export function remoteAddressTable(name = "remote-addresses"): Table<RemoteAddress> {
  return new Table<RemoteAddress>({ name, key: remoteAddressKey });
}

export function identityTable(): Table<IdentityRow> {
  return new Table<IdentityRow>({ name: "identities", key: ({ id }) => String(id) });
}

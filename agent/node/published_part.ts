/** What nodes have published, as far as it counts. */

import type { ClusterStore } from "../cluster/cluster_store.ts";
import { deriveTrustedAddresses, type TrustedInputs } from "../cluster/trusted_addresses.ts";
import type { Part } from "./part.ts";

/** See the module. */
export interface PublishedPart extends Part {
  /** The store as other parts see it. */
  store: Pick<ClusterStore, "addresses" | "identities" | "endpoints">;
}

/** Wires the cluster's store to the addresses that count. */
export function publishedPart(
  { store: { addresses, identities, endpoints }, ...inputs }:
    & { store: PublishedPart["store"] }
    & Omit<TrustedInputs, "addresses">,
): PublishedPart {
  const trusted = deriveTrustedAddresses({ addresses, ...inputs });
  return {
    name: "published",
    store: { addresses: trusted.addresses, identities, endpoints },
    problems: [trusted.problems],
    [Symbol.asyncDispose]: () => Promise.resolve(trusted[Symbol.dispose]()),
  };
}

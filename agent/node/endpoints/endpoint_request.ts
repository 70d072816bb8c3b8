/** What the endpoint manager is asked for, what it needs, and what it reports. */

import type { DatabaseSync } from "node:sqlite";
import type { Table } from "../../core/table.ts";
import { type Endpoint, EndpointError } from "../../api/endpoint.ts";
import { AddressesExhaustedError } from "../ipam/address_pool.ts";

/** The programs' side of endpoints. */
export interface EndpointDatapath {
  /** Puts the endpoint behind its programs; resolves when its rows are in the maps. Repeatable. */
  attach(endpoint: Endpoint): Promise<void>;
  /** Takes away what attach made. Must work when the device is gone. */
  detach(endpoint: Endpoint): Promise<void>;
  /** Whether the programs serve a pod behind the device. */
  serves(ifindex: number): boolean;
}

/** Options for an {@linkcode EndpointManager}. */
export interface EndpointManagerOptions {
  database: DatabaseSync;
  /** Where copies of endpoints are kept while the node is up. */
  runDirectory: string;
  /** Shows the endpoints, from now on those that are on disk; nothing else writes to it. @default a new one */
  table?: Table<Endpoint>;
  /** The node's own pod CIDRs, at most one a family. */
  podCidrs: readonly string[];
  /** The cluster's pod CIDRs, which pods reach with `clusterMtu`. @default {[]} */
  clusterCidrs?: readonly string[];
  /** MTU of pod devices in bytes. */
  mtu: number;
  /** MTU of the routes to the cluster's pods. @default {mtu} */
  clusterMtu?: number;
  datapath: EndpointDatapath;
  /** Resolves when a source has the Pod, or it is not to be waited for any longer. @default at once */
  awaitPod?: (request: EndpointRequest, signal?: AbortSignal) => Promise<unknown>;
  /** Called for what went wrong and ended nothing. @default prints it */
  onError?: (what: string, error: unknown) => void;
  /** Path of the node's network namespace. @default the one of the thread that makes the manager */
  netns?: string;
}

/** What the runtime asks for. */
export interface EndpointRequest {
  containerId: string;
  ifname: string;
  netns: string;
  /** @default {""} */
  namespace?: string;
  /** @default {""} */
  pod?: string;
  /** Tells the Pod from an older one of its name; empty when the runtime does not say it. @default {""} */
  podUid?: string;
}

/** What restore() found. */
export interface RestoreReport {
  restored: Endpoint[];
  dropped: { endpoint: Endpoint; reason: string }[];
  /** Host devices that belonged to no endpoint. */
  removedLinks: string[];
}

/** `error` as an EndpointError; `what` says what could not be done. */
export function asEndpointError(error: unknown, what: string): EndpointError {
  if (error instanceof EndpointError) return error;
  const exhausted = error instanceof AddressesExhaustedError;
  const reason = error instanceof Error ? error.message : String(error);
  const hint = exhausted
    ? "give the node a larger pod CIDR, or delete pods"
    : /is full|no space|readonly database|read-only/i.test(reason)
    ? "make room in the agent's state directory and run directory"
    : undefined;
  return new EndpointError(
    exhausted ? "exhausted" : "internal",
    `${what}: ${reason}`,
    { ...(hint === undefined ? {} : { hint }), cause: error },
  );
}

/** What goes over the agent's socket about endpoints. This file and client.ts are all that the CNI entry loads. */

import type { Endpoint } from "./endpoint.ts";

export { deleteQueueDirectory, type QueuedDelete, queuedDeleteName } from "./queued_delete.ts";

/** Where the agent listens. */
export const DEFAULT_SOCKET = "/run/pilus/pilus.sock";

/** Where the agent keeps what must survive it. */
export const DEFAULT_STATE_DIR = "/var/lib/pilus";

/** The body of every answer that is not 2xx. */
export interface ErrorBody {
  /** A kind of failure: "not-found", "exhausted", … */
  code: string;
  message: string;
  /** What the user can do. */
  hint?: string | undefined;
}

/** An endpoint as `GET /v1/endpoints` shows it. */
export interface EndpointView extends Endpoint {
  /** 0: not known yet. */
  identity: number;
  labels: string[];
  /** Whether some source has the Pod; none: the runtime named no Pod, so no manifest can describe it. */
  manifest: "found" | "missing" | "none";
  /** Whether policy is enforced in each direction. */
  enforcing: { ingress: boolean; egress: boolean };
  /** Number of the policy that the kernel judges by; 0: none yet, and nothing passes. */
  policy: number;
  revision: number;
  /** What it has of the tables that all endpoints share, by what the rows are of. */
  shares: Record<ShareName, ShareView>;
}

/** What endpoints have a share of; started and accepted are connections. */
export type ShareName = "started" | "accepted" | "mappings" | "choices" | "affinity";

/** A share of a table. */
export interface ShareView {
  rows: number;
  /** How often there was no more for it. */
  refused: number;
}

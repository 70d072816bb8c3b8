/** What goes over the agent's socket about endpoints. This file and client.ts are all that the CNI entry loads. */

import type { Endpoint } from "../endpoints/endpoint.ts";

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
  hint?: string;
}

/** `POST /v1/endpoints` */
export interface EndpointCreateRequest {
  containerId: string;
  ifname: string;
  netns: string;
  namespace?: string;
  pod?: string;
}

/** Answer to `POST /v1/endpoints`. */
export interface EndpointCreateResponse {
  endpoint: Endpoint;
  /** The pod's gateways. */
  router: { ipv4?: string; ipv6?: string };
}

/** `POST /v1/endpoints/gc` */
export interface EndpointGcRequest {
  valid: { containerId: string; ifname: string }[];
}

/** An endpoint as `GET /v1/endpoints` shows it. */
export interface EndpointView extends Endpoint {
  identity?: number;
  labels?: string[];
  /** Whether policy is enforced in each direction. */
  enforcing?: { ingress: boolean; egress: boolean };
}

/** The file in `<stateDir>/delete-queue/` of a DEL that came while the agent was down. */
export interface QueuedDelete {
  containerId: string;
  ifname: string;
  /** ISO 8601; endpoints made later are not meant. */
  at: string;
}

/** The folder of queued deletions in a state directory. */
export function deleteQueueDirectory(stateDir: string): string {
  return `${stateDir}/delete-queue`;
}

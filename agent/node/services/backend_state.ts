/** How fit a backend is for new connections. */

/**
 * `active` ones get new connections. When there is none, those that terminate and still serve do,
 * then those in quarantine. The others only keep the connections that they have.
 */
export const BACKEND_STATES = [
  ...["active", "terminating", "quarantined", "maintenance", "unready"],
] as const;

export type BackendState = "active" | "terminating" | "quarantined" | "maintenance" | "unready";

/** What an endpoint is. */

/** creating: not yet behind its programs; ready: served; failed: alive, but its programs are not attached. */
export type EndpointState = "creating" | "ready" | "failed";

/** A pod's interface on this node. Addresses are text, so that it is its own JSON. */
export interface Endpoint {
  /** 1..65535, unique on the node. */
  id: number;
  containerId: string;
  /** The device in the pod. */
  ifname: string;
  /** Path of the pod's network namespace. */
  netns: string;
  /** The number by which programs know that namespace. */
  netnsCookie: number;
  /** Kubernetes namespace and pod name; empty when the runtime gave none. */
  namespace: string;
  pod: string;
  /** The host's end of the veth pair. */
  hostIfname: string;
  hostIfindex: number;
  hostMac: string;
  podMac: string;
  ipv4?: string;
  ipv6?: string;
  /** Of the device, in bytes. */
  mtu: number;
  /** ISO 8601. */
  createdAt: string;
  state: EndpointState;
  /** Why the state is failed. */
  reason?: string;
}

/** Who owns an endpoint's addresses and row: `containerId/ifname`. */
export function endpointKey({ containerId, ifname }: Pick<Endpoint, "containerId" | "ifname">) {
  return `${containerId}/${ifname}`;
}

/**
 * `namespace/name` of the endpoint's Pod; undefined when the runtime has not given both (podman gives a
 * name alone): then no manifest can describe it.
 */
export function podKey({ namespace, pod }: Pick<Endpoint, "namespace" | "pod">) {
  return namespace === "" || pod === "" ? undefined : `${namespace}/${pod}`;
}

/** What people call it: its Pod, else the name that the runtime gave, else the start of the container's number. */
export function endpointName(
  endpoint: Pick<Endpoint, "namespace" | "pod" | "containerId">,
): string {
  return podKey(endpoint) ?? (endpoint.pod || endpoint.containerId.slice(0, 12));
}

/** Kinds of failure, for the API and the CNI plugin's exit. */
export type EndpointErrorCode =
  | "invalid"
  | "netns"
  | "not-found"
  | "exhausted"
  /** What is known is older than what is asked for. */
  | "outdated"
  | "unhealthy"
  | "internal";

/** An endpoint cannot be made, checked or found. */
export class EndpointError extends Error {
  override readonly name = "EndpointError";
  readonly code: EndpointErrorCode;
  readonly hint: string | undefined;

  constructor(
    code: EndpointErrorCode,
    message: string,
    { hint, cause }: { hint?: string; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.hint = hint;
  }
}

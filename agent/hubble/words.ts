/** Names that Hubble has for numbers that are no enumerations of its API. */

/** Identities that have names, by number. */
export const RESERVED_IDENTITIES: readonly string[] = [
  ...["unknown", "host", "world", "unmanaged", "health", "init", "remote-node"],
  ...["kube-apiserver", "ingress", "world-ipv4", "world-ipv6"],
];

/** Where traces are made, by the number that they have as type of event. */
export const TRACE_POINTS: readonly string[] = [
  ...["to-endpoint", "to-proxy", "to-host", "to-stack", "to-overlay", "from-endpoint"],
  ...["from-proxy", "from-host", "from-stack", "from-overlay", "from-network", "to-network"],
  ...["from-crypto", "to-crypto"],
];

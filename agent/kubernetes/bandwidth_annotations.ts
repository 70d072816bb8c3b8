/** The annotations of a Pod that limit its bandwidth, by direction. */
export const BANDWIDTH_ANNOTATIONS = {
  egress: "kubernetes.io/egress-bandwidth",
  ingress: "kubernetes.io/ingress-bandwidth",
} as const;

/** The labels that make a pod's identity, in Cilium's form: the key has its source in front. */

import { serviceAccountOf } from "../kubernetes/pods_and_nodes.ts";
import type { Namespace, Pod } from "../kubernetes/resources.ts";

/** Values by key with source, such as `k8s:app` or `reserved:host`. */
export type LabelMap = Readonly<Record<string, string>>;

/** The name of the cluster that pods are in when none is configured. */
export const DEFAULT_CLUSTER = "default";

export const NAMESPACE_LABEL = "io.kubernetes.pod.namespace";
export const NAMESPACE_LABELS_PREFIX = "io.cilium.k8s.namespace.labels.";
const CLUSTER_LABEL = "io.cilium.k8s.policy.cluster";
const SERVICE_ACCOUNT_LABEL = "io.cilium.k8s.policy.serviceaccount";

/** Pod labels that differ from pod to pod or say nothing of its role; Cilium's defaults. */
const EXCLUDED = [
  /^io\.kubernetes/,
  /^kubernetes\.io/,
  /^statefulset\.kubernetes\.io\/pod-name/,
  /^apps\.kubernetes\.io\/pod-index/,
  /^batch\.kubernetes\.io\/job-completion-index/,
  /^batch\.kubernetes\.io\/controller-uid/,
  /^.*beta\.kubernetes\.io/,
  /^k8s\.io/,
  /^pod-template-generation/,
  /^pod-template-hash/,
  /^controller-revision-hash/,
  /^annotation.*/,
  /^controller-uid/,
  /^etcd_node/,
];

const isExcluded = (key: string) => EXCLUDED.some((pattern) => pattern.test(key));

/** Whether a label of that key, without its source, may be part of an identity. */
export function isIdentityLabel(key: string): boolean {
  return key === NAMESPACE_LABEL || !isExcluded(key);
}

/** The identity labels of a pod: of itself, its namespace, its cluster and its service account. */
export function identityLabels(
  pod: Pick<Pod, "metadata" | "spec">,
  namespace: Namespace | undefined,
  cluster: string = DEFAULT_CLUSTER,
): LabelMap {
  const labels: Record<string, string> = {};
  for (const [key, value] of Object.entries(pod.metadata.labels)) {
    if (!isExcluded(key)) labels[`k8s:${key}`] = value;
  }
  const ofNamespace = {
    ...namespace?.metadata.labels,
    "kubernetes.io/metadata.name": pod.metadata.namespace,
  };
  for (const [key, value] of Object.entries(ofNamespace)) {
    labels[`k8s:${NAMESPACE_LABELS_PREFIX}${key}`] = value;
  }
  labels[`k8s:${NAMESPACE_LABEL}`] = pod.metadata.namespace;
  labels[`k8s:${CLUSTER_LABEL}`] = cluster;
  labels[`k8s:${SERVICE_ACCOUNT_LABEL}`] = serviceAccountOf(pod);
  return labels;
}

/** Sorted `key=value`, as people and CiliumEndpoint show them; `key` alone when the value is empty. */
export function formatLabels(labels: LabelMap): string[] {
  return Object.entries(labels).map(([key, value]) => value === "" ? key : `${key}=${value}`)
    .sort();
}

/** The opposite of {@linkcode formatLabels}. */
export function parseLabels(texts: readonly string[]): LabelMap {
  return Object.fromEntries(texts.map((text) => {
    const equals = text.indexOf("=");
    return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
  }));
}

/** One text for one set of labels. */
export function labelsKey(labels: LabelMap): string {
  return formatLabels(labels).join(";");
}

/** FNV-1a over the UTF-16 units: where to begin looking for a number. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  // FNV's low bits alone are weak for short texts (murmur3's finalizer mixes them).
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

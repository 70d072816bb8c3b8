/** Names as the API takes them: without slashes, controls and the like, so that they can become paths. */

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Whether it may be the name of a namespace (RFC 1123 label). */
export function isNamespaceName(text: string): boolean {
  return LABEL.test(text);
}

/** Whether it may be the name of a pod or a node (RFC 1123 subdomain). */
export function isResourceName(text: string): boolean {
  return text.length <= 253 && SUBDOMAIN.test(text);
}

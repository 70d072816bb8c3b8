/** Names of pods that are published: checked before they become paths. */

import { isNamespaceName, isResourceName } from "../kubernetes/names.ts";
import type { PublishedEndpoint } from "./rows.ts";

/** Throws TypeError when namespace or name of the pod are none of the API. */
export function checkNames({ namespace, pod }: PublishedEndpoint): void {
  if (!isNamespaceName(namespace)) {
    throw new TypeError(`Cannot publish a pod of ${JSON.stringify(namespace)}: no namespace`);
  }
  if (!isResourceName(pod)) {
    throw new TypeError(`Cannot publish the pod ${JSON.stringify(pod)}: no name of a pod`);
  }
}

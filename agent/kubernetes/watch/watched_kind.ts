/** What a watch looks at. */

import type { Request } from "../client/api_error.ts";

/** A kind of the API, or the part of it that selectors select. */
export interface WatchedKind {
  /** Such as `Pod`. */
  kind: string;
  /** Such as `discovery.k8s.io/v1`. */
  apiVersion: string;
  /** Such as `pods`. */
  resource: string;
  fieldSelector?: string;
  labelSelector?: string;
  /** Whether a server may be without it, as it is of a CustomResourceDefinition. */
  optional?: boolean;
}

/** An object as the server has it, as far as every object is the same. */
export interface ApiObject {
  metadata: { name: string; namespace?: string; resourceVersion: string };
  [field: string]: unknown;
}

/** The path of the kind's objects in all namespaces. */
export function pathOf({ apiVersion, resource }: WatchedKind): string {
  return `${apiVersion.includes("/") ? "/apis" : "/api"}/${apiVersion}/${resource}`;
}

/** Its API group, "" for the core. */
export function groupOf({ apiVersion }: WatchedKind): string {
  return apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
}

/** For errors of requests. */
export function requestOf(kind: WatchedKind, verb: Request["verb"]): Request {
  return { verb, group: groupOf(kind), resource: kind.resource };
}

/** The selectors as the API has them in a query. */
export function selectorsOf({ fieldSelector, labelSelector }: WatchedKind): Record<string, string> {
  return {
    ...(fieldSelector ? { fieldSelector } : {}),
    ...(labelSelector ? { labelSelector } : {}),
  };
}

/** Network namespaces of pods, by the paths that the runtime gives. */

import type { FileDescriptor } from "../../../datapath/ffi/libc.ts";
import {
  inNamespace,
  namespaceCookie,
  namespaceId,
  openNamespace,
} from "../../../datapath/net/netns.ts";
import { EndpointError } from "../../api/endpoint.ts";

/** Opens a pod's namespace, which must not be the node's. Throws EndpointError. */
export function openPodNamespace(
  path: string,
  nodeNamespaceId: string,
): { netns: FileDescriptor; cookie: number } {
  let netns: FileDescriptor | undefined;
  try {
    netns = openNamespace(path);
    // Entering proves that it is a network namespace.
    const cookie = Number(inNamespace(netns.fd, namespaceCookie));
    if (namespaceId(path) === nodeNamespaceId) {
      throw new EndpointError("netns", `Network namespace ${path} is the node's own`, {
        hint: "pods in the host's network need no CNI",
      });
    }
    return { netns, cookie };
  } catch (error) {
    netns?.[Symbol.dispose]();
    if (error instanceof EndpointError) throw error;
    throw new EndpointError(
      "netns",
      `Cannot use network namespace ${path}: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/** Milliseconds that a file system has for an answer about a path. */
const ANSWER_MS = 2_000;

/** Paths that were asked for and have not been answered: each holds a thread of the runtime's. */
let unanswered = 0;
const MAX_UNANSWERED = 8;

/** Rejects with EndpointError when the path's file system does not answer, as one of a dead server. */
export async function requireAnswering(path: string): Promise<void> {
  const silent = () =>
    new EndpointError("netns", `Cannot use network namespace ${path}: its file system is silent`);
  if (unanswered >= MAX_UNANSWERED) throw silent();
  unanswered++;
  const asked = Deno.stat(path).catch(() => {}).finally(() => unanswered--);
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(silent()), ANSWER_MS);
  try {
    await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether both paths name one namespace that is there. */
export function sameNamespace(a: string, b: string): boolean {
  try {
    return namespaceId(a) === namespaceId(b);
  } catch {
    return false;
  }
}

/** Why there is no namespace at the path; undefined when there is one. */
export function namespaceProblem(path: string): string | undefined {
  try {
    using _ = openNamespace(path);
    return undefined;
  } catch (error) {
    return `namespace ${path} is gone: ${(error as Error).message}`;
  }
}

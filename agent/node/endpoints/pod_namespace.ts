/** Network namespaces of pods, by the paths that the runtime gives. */

import type { FileDescriptor } from "../../../datapath/ffi/libc.ts";
import {
  inNamespace,
  namespaceCookie,
  namespaceId,
  openNamespace,
} from "../../../datapath/net/netns.ts";
import { EndpointError } from "../../api/endpoint.ts";
import { Places } from "../../core/places.ts";

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

/** Paths that may be asked for at the same time: each holds a thread of the runtime's until it is answered. */
const MAX_ASKED = 8;
const places = new Places(MAX_ASKED);

/**
 * Rejects with EndpointError when the path's file system does not answer in time, as one of a dead
 * server, or when such ones hold all places.
 */
export async function requireAnswering(
  path: string,
  stat: (path: string) => Promise<unknown> = Deno.stat,
): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      reject(
        new EndpointError(
          "netns",
          `Cannot use network namespace ${path}: its file system is silent`,
        ),
      ),
    ANSWER_MS,
  );
  try {
    const free = await places.take(late);
    const asked = stat(path).catch(() => {}).finally(free);
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

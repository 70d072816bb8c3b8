/** Network namespaces of pods, by the paths that the runtime gives. */

import type { FileDescriptor } from "../../../datapath/bpf/ffi/libc.ts";
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

/** Paths that may be asked for at the same time: each holds a thread of the runtime's until it is answered. */
const MAX_ASKED = 8;
const places = new Places(MAX_ASKED);

/** Options for {@linkcode requireAnswering}. */
export interface AnsweringOptions {
  /** Asks the file system. @default Deno.stat */
  stat?: (path: string) => Promise<unknown>;
  /** Milliseconds that it has for an answer. @default {2_000} */
  answerMs?: number;
  /** Milliseconds that others may keep the path waiting. @default {10_000} */
  lineMs?: number;
}

/**
 * Rejects with EndpointError when the path's file system does not answer in time, as one of a dead
 * server, or when such ones hold all places.
 */
export async function requireAnswering(
  path: string,
  { stat = Deno.stat, answerMs = 2_000, lineMs = 10_000 }: AnsweringOptions = {},
): Promise<void> {
  const refusal = (whose: string) =>
    new EndpointError("netns", `Cannot use network namespace ${path}: ${whose} silent`);
  const free = await inTime(
    lineMs,
    (late) => places.take(late),
    refusal("the file systems of others before it are"),
  );
  const asked = stat(path).catch(() => {}).finally(free);
  await inTime(
    answerMs,
    (late) => Promise.race([asked, late]),
    refusal("its file system is"),
  );
}

/** Runs the work with a promise that rejects when it has taken too long. */
async function inTime<T>(
  ms: number,
  work: (late: Promise<never>) => Promise<T>,
  error: Error,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  late.catch(() => {});
  // twice: what was answered while this thread had no time to look counts
  let timer = setTimeout(() => {
    timer = setTimeout(() => reject(error), ms / 10);
  }, ms);
  try {
    return await work(late);
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

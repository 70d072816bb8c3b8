/**
 * Deletes identities that no endpoint has had for some time: there are 65,280 numbers. What is not known
 * for sure deletes nothing, and a node that uses a number after all makes it again.
 */

import { IDENTITIES, SLICES } from "../cluster/kubernetes/published_kinds.ts";
import type { CiliumEndpointSlice } from "../kubernetes/cilium_endpoint_slice.ts";
import type { ApiClient } from "../kubernetes/client/api_client.ts";
import { ApiError } from "../kubernetes/client/api_error.ts";
import { knownParts } from "../kubernetes/known_parts.ts";
import { faultText } from "../kubernetes/schema.ts";
import { pageOf } from "../kubernetes/watch/answers.ts";
import {
  type ApiObject,
  pathOf,
  requestOf,
  type WatchedKind,
} from "../kubernetes/watch/watched_kind.ts";

/** What Cilium's agents publish: their identities are in use, too. */
const ENDPOINTS: WatchedKind = {
  kind: "CiliumEndpoint",
  apiVersion: "cilium.io/v2",
  resource: "ciliumendpoints",
};

/** Objects of a page. */
const PAGE = 500;

/** What an {@linkcode IdentityCollector} takes. */
export interface IdentityCollectorOptions {
  client: ApiClient;
  /** Milliseconds that an identity has to be unused. */
  unusedMs: number;
}

/** See the module. */
export class IdentityCollector {
  readonly #options: IdentityCollectorOptions;
  /** By UID of what is unused, since when, as far as is known. */
  readonly #since = new Map<string, number>();

  constructor(options: IdentityCollectorOptions) {
    this.#options = options;
  }

  /** One look. Resolves to the numbers that were deleted. Throws ApiError, TypeError. */
  async pass(signal: AbortSignal): Promise<string[]> {
    const { unusedMs } = this.#options;
    // identities first: one that is made and used meanwhile is not among them
    const identities: ApiObject[] = [];
    for await (const object of this.#list(IDENTITIES, signal)) identities.push(object);
    const used = await this.#used(signal);
    const now = performance.now();
    const unused = identities.filter(({ metadata }) => !used.has(metadata.name));
    const uids = new Set(unused.map(uidOf));
    for (const uid of this.#since.keys()) if (!uids.has(uid)) this.#since.delete(uid);
    for (const uid of uids) if (!this.#since.has(uid)) this.#since.set(uid, now);
    const deleted: string[] = [];
    for (const object of unused) {
      if (now - this.#since.get(uidOf(object))! < unusedMs) continue;
      if (await this.#delete(object, signal)) deleted.push(object.metadata.name);
    }
    return deleted;
  }

  async #used(signal: AbortSignal): Promise<Set<string>> {
    const used = new Set<string>();
    for await (const object of this.#list(SLICES, signal)) {
      const slice = knownParts(object, SLICES.schema) as CiliumEndpointSlice;
      const [fault] = SLICES.schema(slice);
      if (fault) {
        const { name } = object.metadata;
        throw new TypeError(`CiliumEndpointSlice ${name}: ${faultText(fault)}; nothing is deleted`);
      }
      for (const { id } of slice.endpoints) used.add(String(id));
    }
    for await (const object of this.#list(ENDPOINTS, signal)) {
      const { status } = object as { status?: { identity?: { id?: unknown } } };
      used.add(String(status?.identity?.id));
    }
    return used;
  }

  async *#list(kind: WatchedKind, signal: AbortSignal): AsyncGenerator<ApiObject> {
    const { client } = this.#options;
    let next: string | undefined;
    do {
      const query: Record<string, string> = { limit: String(PAGE) };
      if (next) query["continue"] = next;
      const request = { ...requestOf(kind, "list"), path: pathOf(kind), query, signal };
      const answer = await client.json(request).catch((error) => {
        const absent = kind === ENDPOINTS && error instanceof ApiError && error.code === "notFound";
        if (absent) return undefined;
        throw error;
      });
      if (answer === undefined) return;
      const page = pageOf(answer);
      yield* page.items;
      next = page.next;
    } while (next !== undefined);
  }

  /** Unless it was changed meanwhile. Throws ApiError. */
  async #delete(object: ApiObject, signal: AbortSignal): Promise<boolean> {
    const { name, resourceVersion } = object.metadata;
    try {
      await this.#options.client.json({
        ...requestOf(IDENTITIES, "delete"),
        path: `${pathOf(IDENTITIES)}/${name}`,
        body: { preconditions: { uid: uidOf(object), resourceVersion } },
        signal,
      });
      return true;
    } catch (error) {
      if (error instanceof ApiError && /^(conflict|notFound)$/.test(error.code)) return false;
      throw error;
    }
  }
}

function uidOf({ metadata }: ApiObject): string {
  return String((metadata as { uid?: unknown }).uid);
}

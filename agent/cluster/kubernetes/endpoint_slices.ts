/**
 * The endpoints that a node publishes as CiliumEndpointSlices: some of a namespace in each, so that a
 * change is one small write and one event to each node. The Node owns them, so that they go with it.
 */

import { attemptEach } from "../../core/attempt_each.ts";
import { equalData } from "../../core/equal.ts";
import type { ApplyResult, Target } from "../../core/reconciler.ts";
import type { ApiClient } from "../../kubernetes/client/api_client.ts";
import { ApiError } from "../../kubernetes/client/api_error.ts";
import type { CiliumEndpointSlice } from "../../kubernetes/cilium_endpoint_slice.ts";
import { knownParts } from "../../kubernetes/known_parts.ts";
import { isResourceName } from "../../kubernetes/names.ts";
import { isRecord } from "../../kubernetes/schema.ts";
import { isOlder } from "../../kubernetes/watch/answers.ts";
import { type ApiObject, pathOf, requestOf } from "../../kubernetes/watch/watched_kind.ts";
import { checkNames } from "../checked_names.ts";
import { hash32, type LabelMap } from "../labels.ts";
import { type PublishedEndpoint, publishedEndpointKey } from "../rows.ts";
import { SLICES } from "./published_kinds.ts";
import type { ServerObject } from "./published_objects.ts";
import { publishedEndpoint, sliceEntry } from "./slice_form.ts";

/** Endpoints of a slice. */
const SLICE_ROWS = 32;

/** Slices that are written at once. */
const WRITES = 8;

type Entries = CiliumEndpointSlice["endpoints"];

/** What a slice has to be. */
interface Slice {
  name: string;
  namespace: string;
  rows: Map<string, PublishedEndpoint>;
  /** Of the server's answer to the last write. */
  version: string;
  /** The writes of it, one after the other. */
  writing: Promise<void>;
  writes: number;
  /** What the server has, as far as is known; undefined when it has no such object. */
  said: Entries | undefined;
  /** What was said of it while it was written: before that, or after. */
  meanwhile: { version: string; said: Entries | undefined } | undefined;
}

/** What {@linkcode EndpointSlices} takes. */
export interface EndpointSlicesOptions {
  client: ApiClient;
  /** This node's name. */
  node: string;
  labelsOf: (identity: number) => LabelMap | undefined;
  onError: (error: unknown) => void;
}

/** A target for a reconciler. What somebody else changes is put right when the server says so. */
export class EndpointSlices implements Target<PublishedEndpoint> {
  readonly #options: EndpointSlicesOptions;
  readonly #slices = new Map<string, Slice>();
  readonly #sliceOf = new Map<string, Slice>();
  #nodeUid: Promise<string> | undefined;

  /** Throws TypeError when the node's name is not a name of the API. */
  constructor(options: EndpointSlicesOptions) {
    if (!isResourceName(options.node)) {
      throw new TypeError(`Cannot publish for ${JSON.stringify(options.node)}: it is no name`);
    }
    this.#options = options;
  }

  isUsed(identity: number): boolean {
    return this.#slices.values().some(({ rows }) =>
      rows.values().some((row) => row.identity === identity)
    );
  }

  /** What the server has of this node. */
  read(): PublishedEndpoint[] {
    const rows: PublishedEndpoint[] = [];
    for (const { namespace, said = [], rows: wanted } of this.#slices.values()) {
      for (const entry of said) {
        const row = wanted.get(`${namespace}/${entry.name}`);
        const same = row && equalData(sliceEntry(row), entry);
        const labels = this.#options.labelsOf(entry.id) ?? {};
        rows.push(same ? row : publishedEndpoint(namespace, entry, labels));
      }
    }
    return rows;
  }

  async apply(
    upserts: PublishedEndpoint[],
    deletes: PublishedEndpoint[],
  ): Promise<ApplyResult<PublishedEndpoint>> {
    const changed = new Map<Slice, PublishedEndpoint[]>();
    const note = (slice: Slice, row: PublishedEndpoint) => {
      const rows = changed.get(slice);
      if (rows) rows.push(row);
      else changed.set(slice, [row]);
    };
    for (const row of deletes) {
      const key = publishedEndpointKey(row);
      const slice = this.#sliceOf.get(key);
      if (!slice) continue;
      slice.rows.delete(key);
      this.#sliceOf.delete(key);
      note(slice, row);
    }
    const failed = attemptEach(upserts, (row) => {
      checkNames(row);
      const key = publishedEndpointKey(row);
      const slice = this.#sliceOf.get(key) ?? this.#withRoom(row.namespace);
      slice.rows.set(key, row);
      this.#sliceOf.set(key, slice);
      note(slice, row);
    });
    const due = [...changed];
    const work = async () => {
      for (let next = due.pop(); next; next = due.pop()) {
        const [slice, rows] = next;
        await this.#write(slice).catch((error) => {
          failed.push(...rows.map((row) => ({ row, error })));
        });
      }
    };
    await Promise.all(Array.from({ length: WRITES }, work));
    return { failed };
  }

  /** Takes over what an earlier run has written, and puts right what somebody else has. */
  seen({ name, version, owner, value }: ServerObject<CiliumEndpointSlice>): void {
    const known = this.#slices.get(name);
    if (!known) {
      if (owner !== this.#options.node || !name.startsWith(this.#prefix(value.namespace))) return;
      const slice = this.#add(name, value.namespace);
      slice.said = value.endpoints;
      for (const entry of value.endpoints) {
        const labels = this.#options.labelsOf(entry.id) ?? {};
        const row = publishedEndpoint(value.namespace, entry, labels);
        const key = publishedEndpointKey(row);
        if (this.#sliceOf.has(key)) continue;
        slice.rows.set(key, row);
        this.#sliceOf.set(key, slice);
      }
      return;
    }
    this.#said(known, version, value.endpoints);
  }

  gone(name: string, version: string): void {
    const slice = this.#slices.get(name);
    if (!slice) return;
    // it may have gone with a Node that was made anew
    this.#nodeUid = undefined;
    this.#said(slice, version, undefined);
    if (slice.rows.size === 0 && slice.writes === 0) this.#slices.delete(name);
  }

  #said(slice: Slice, version: string, said: Entries | undefined): void {
    if (slice.writes > 0) {
      slice.meanwhile = { version, said };
      return;
    }
    if (isOlder(version, slice.version)) return;
    slice.said = said;
    if (!equalData(said ?? [], entriesOf(slice))) this.#heal(slice);
  }

  /** Resolves when no write is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#slices.values().map(({ writing }) => writing));
  }

  #heal(slice: Slice): void {
    void this.#write(slice).catch(this.#options.onError);
  }

  #prefix(namespace: string): string {
    const hash = hash32(`${this.#options.node}/${namespace}`).toString(36);
    // short enough for a number behind it
    const node = this.#options.node.slice(0, 120).replace(/[.-]+$/, "");
    return `${node}-${namespace}-${hash}-`;
  }

  #withRoom(namespace: string): Slice {
    const prefix = this.#prefix(namespace);
    for (let number = 1;; number++) {
      const slice = this.#slices.get(prefix + number) ?? this.#add(prefix + number, namespace);
      if (slice.rows.size < SLICE_ROWS) return slice;
    }
  }

  #add(name: string, namespace: string): Slice {
    const writing = Promise.resolve();
    const state = { rows: new Map(), version: "", writing, writes: 0 };
    const unknown = { said: undefined, meanwhile: undefined };
    const slice: Slice = { name, namespace, ...state, ...unknown };
    this.#slices.set(name, slice);
    return slice;
  }

  #write(slice: Slice): Promise<void> {
    slice.writes++;
    const writing = slice.writing.catch(() => {}).then(() => this.#writeNow(slice))
      .finally(() => {
        slice.writes--;
        const { meanwhile } = slice;
        if (slice.writes > 0 || !meanwhile) return;
        slice.meanwhile = undefined;
        this.#said(slice, meanwhile.version, meanwhile.said);
      });
    slice.writing = writing;
    return writing;
  }

  async #writeNow(slice: Slice): Promise<void> {
    const { client } = this.#options;
    const { name, namespace } = slice;
    const path = `${pathOf(SLICES)}/${name}`;
    const endpoints = entriesOf(slice);
    if (endpoints.length === 0) {
      await client.json({ ...requestOf(SLICES, "delete"), path }).catch(unlessMissing);
      slice.said = undefined;
      return;
    }
    const { apiVersion, kind } = SLICES;
    const metadata = { name, ownerReferences: [await this.#owner()] };
    const answer = await client.json({
      ...requestOf(SLICES, "patch"),
      path,
      query: { fieldManager: "pilus", force: "true" },
      body: { apiVersion, kind, metadata, namespace, endpoints },
    }) as ApiObject;
    const { endpoints: kept } = knownParts(answer, SLICES.schema) as CiliumEndpointSlice;
    slice.version = answer.metadata.resourceVersion;
    slice.said = kept ?? [];
    if (equalData(kept, endpoints)) return;
    throw new ApiError(
      "invalid",
      `patch ${SLICES.resource}: the API server keeps not all fields; install the ` +
        "CustomResourceDefinitions that `pilus manifest` prints",
    );
  }

  /** Throws ApiError. */
  async #owner(): Promise<Record<string, string>> {
    const { node: name } = this.#options;
    const uid = this.#nodeUid ??= this.#askUid();
    try {
      return { apiVersion: "v1", kind: "Node", name, uid: await uid };
    } catch (error) {
      if (this.#nodeUid === uid) this.#nodeUid = undefined;
      throw error;
    }
  }

  async #askUid(): Promise<string> {
    const { client, node } = this.#options;
    const request = { verb: "get", group: "", resource: "nodes" } as const;
    const object = await client.json({ ...request, path: `/api/v1/nodes/${node}` });
    const metadata = isRecord(object) && isRecord(object["metadata"]) ? object["metadata"] : {};
    const { uid } = metadata;
    if (typeof uid === "string") return uid;
    throw new ApiError("strange", `get nodes: ${node} has no uid`);
  }
}

function entriesOf({ rows }: Slice): Entries {
  return Array.from(rows.values(), sliceEntry);
}

function unlessMissing(error: unknown): void {
  if (!(error instanceof ApiError) || error.code !== "notFound") throw error;
}

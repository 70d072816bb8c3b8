/**
 * The store of nodes that share a manifest directory: each publishes its own pods' endpoints, and all
 * agree on the numbers of identities. The files are manifests of the resources that Cilium's users know.
 */

import { join } from "@std/path";
import { type Problem, problemTable } from "../../core/problem.ts";
import { WatchedDirectory } from "../../core/watched_directory.ts";
import { type ClusterStore, identityTable, remoteAddressTable } from "../cluster_store.ts";
import { type LabelMap, labelsKey } from "../labels.ts";
import { OriginRows } from "../origin_rows.ts";
import type { IdentityRow, RemoteAddress } from "../rows.ts";
import { EndpointFiles } from "./endpoint_files.ts";
import { claimIdentity } from "./identity_files.ts";
import { checkedFolder, PUBLISHED } from "./paths.ts";
import { AddressReader, identityRow, MAX_PUBLISHED_BYTES, readPublished } from "./published.ts";

/** Options for a {@linkcode FileStore}. */
export interface FileStoreOptions {
  /** The manifest directory that the nodes share. */
  directory: string;
  /** This node's name. */
  node: string;
  /**
   * Milliseconds between full scans, which find what the watch has missed.
   *
   * @default {10_000}
   */
  rescanMs?: number;
}

/** What a file says. */
interface FileRows {
  addresses: readonly RemoteAddress[];
  identities: readonly IdentityRow[];
}

const NOTHING: FileRows = { addresses: [], identities: [] };

/** See the module. */
export class FileStore implements ClusterStore {
  readonly addresses = remoteAddressTable();
  readonly identities = identityTable();
  readonly problems = problemTable("cluster-problems");
  readonly endpoints: EndpointFiles;
  readonly #directory: string;
  readonly #files: WatchedDirectory;
  readonly #reader = new AddressReader();
  readonly #addressRows = new OriginRows(this.addresses);
  readonly #identityRows = new OriginRows(this.identities);
  readonly #faults = new Map<string, readonly Problem[]>();
  /** By label set, the search for its number that is under way. */
  readonly #searches = new Map<string, Promise<number>>();

  /** Throws TypeError when the node's name is not a name of the API. */
  constructor({ directory, node, rescanMs }: FileStoreOptions) {
    this.#directory = directory;
    this.endpoints = new EndpointFiles(directory, node);
    this.#files = new WatchedDirectory({
      directory: checkedFolder(directory, []),
      followLinks: false,
      maxBytes: MAX_PUBLISHED_BYTES,
      ...(rescanMs === undefined ? {} : { rescanMs }),
      onChanged: (path, text) => this.#read(path, text),
      onUnreadable: (path, error) => this.#report(path, [{ message: `cannot be read: ${error}` }]),
      onGone: (path) => this.#forget(path),
      onScanned: (unreadable) => this.#publishProblems(unreadable),
    });
  }
  async start(): Promise<void> {
    await this.#files.start();
  }

  /** Looks for changes now. */
  scan(): Promise<void> {
    return this.#files.scan();
  }

  allocate(labels: LabelMap): Promise<number> {
    const key = labelsKey(labels);
    let search = this.#searches.get(key);
    if (!search) {
      search = this.#allocate(labels).finally(() => this.#searches.delete(key));
      this.#searches.set(key, search);
    }
    return search;
  }

  async #allocate(labels: LabelMap): Promise<number> {
    const id = await claimIdentity(this.#directory, labels);
    this.identities.set({ id, labels });
    return id;
  }

  #read(path: string, text: string): void {
    const { resources, problems } = readPublished<Partial<FileRows>>(text, {
      endpoint: (value) => ({ addresses: this.#reader.rows(value) }),
      identity: (value) => ({ identities: [identityRow(value)] }),
    });
    if (problems.length > 0) {
      this.#report(path, problems);
      return;
    }
    this.#faults.delete(path);
    this.#replace(path, {
      addresses: resources.flatMap(({ addresses = [] }) => addresses),
      identities: resources.flatMap(({ identities = [] }) => identities),
    });
  }

  #replace(path: string, { addresses, identities }: FileRows): void {
    this.#addressRows.replace(path, addresses);
    this.#identityRows.replace(path, identities);
  }

  #forget(path: string): void {
    this.#faults.delete(path);
    this.#replace(path, NOTHING);
  }

  /** What was wrong before is no longer; what the file said while it was right stays in force. */
  #report(path: string, faults: readonly Omit<Problem, "source">[]): void {
    const source = `${PUBLISHED}/${path}`;
    this.#faults.set(path, faults.map((fault) => ({ source, ...fault })));
  }

  #publishProblems(unreadable: ReadonlyMap<string, unknown>): void {
    this.#reader.trim();
    const folders = Array.from(unreadable, ([folder, error]) => ({
      source: join(this.#directory, PUBLISHED, folder),
      message: `cannot be read, and what was read of it before counts: ${error}`,
    }));
    this.problems.replace([...folders, ...[...this.#faults.values()].flat()]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#files.stop();
  }
}

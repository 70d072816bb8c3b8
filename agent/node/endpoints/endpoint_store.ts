/** Endpoints on disk: what a restarted agent finds again. */

import type { DatabaseSync } from "node:sqlite";
import { type Endpoint, EndpointError, endpointKey } from "../../api/endpoint.ts";
import { MAX_ID } from "./endpoint_ids.ts";
import { type EndpointCopies, parseEndpoint } from "./endpoint_copies.ts";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS endpoints (
  key TEXT PRIMARY KEY,
  id INTEGER NOT NULL UNIQUE,
  endpoint TEXT NOT NULL -- JSON
) STRICT;
CREATE TABLE IF NOT EXISTS endpoint_ids (last INTEGER NOT NULL) STRICT`;

/** The rows of the endpoints table in SQLite, and their copies. */
export class EndpointStore {
  readonly #database: DatabaseSync;
  readonly #copies: EndpointCopies;

  constructor(database: DatabaseSync, copies: EndpointCopies) {
    this.#database = database;
    this.#copies = copies;
    database.exec(SCHEMA);
    database.exec(
      "INSERT INTO endpoint_ids SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM endpoint_ids)",
    );
  }

  /** An id that no endpoint has, the longest unused ones first. Throws EndpointError when there is none. */
  nextId(): number {
    const row = this.#database.prepare("SELECT last FROM endpoint_ids").get();
    const taken = this.#database.prepare("SELECT 1 FROM endpoints WHERE id = ?");
    let id = Number(row?.last);
    for (let tries = 0; tries < MAX_ID; tries++) {
      id = id % MAX_ID + 1;
      if (taken.get(id)) continue;
      this.#database.prepare("UPDATE endpoint_ids SET last = ?").run(id);
      return id;
    }
    throw new EndpointError("exhausted", `A node has at most ${MAX_ID} endpoints, and all exist`);
  }

  save(endpoint: Endpoint): void {
    // the copy first: where they differ it is the newer one
    this.#copies.save(endpoint);
    this.#database.prepare("INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?)")
      .run(endpointKey(endpoint), endpoint.id, JSON.stringify(endpoint));
  }

  remove(key: string): void {
    this.#database.prepare("DELETE FROM endpoints WHERE key = ?").run(key);
    this.#copies.remove(key);
  }

  /**
   * All that either place knows, each made whole from the other. A row that is not an endpoint, or that
   * has what another one has, does not count.
   */
  all(): Endpoint[] {
    const rows = this.#database.prepare("SELECT key, endpoint FROM endpoints ORDER BY id")
      .all() as {
        key: string;
        endpoint: string;
      }[];
    const found = new Map(this.#copies.all().map((copy) => [endpointKey(copy), copy]));
    const copied = new Set(found.keys());
    for (const { key, endpoint } of rows) {
      const stored = parseEndpoint(endpoint);
      if (stored && endpointKey(stored) === key && !found.has(key)) found.set(key, stored);
    }
    const taken = new Set<string | number>();
    const endpoints = [...found.values()].filter(({ id, ipv4, ipv6 }) => {
      const own = [id, ipv4, ipv6].filter((value) => value !== undefined);
      if (own.some((value) => taken.has(value))) return false;
      for (const value of own) taken.add(value);
      return true;
    });
    const texts = new Map(rows.map(({ key, endpoint }) => [key, endpoint]));
    for (const endpoint of endpoints) {
      const key = endpointKey(endpoint);
      if (copied.has(key) && texts.get(key) === JSON.stringify(endpoint)) continue;
      try {
        this.save(endpoint);
      } catch { /* without room on the disk the other place has it still */ }
    }
    return endpoints.sort((a, b) => a.id - b.id);
  }
}

/** Endpoints on disk: what a restarted agent finds again. */

import type { DatabaseSync } from "node:sqlite";
import { type Endpoint, EndpointError, endpointKey } from "../../api/endpoint.ts";

const MAX_ID = 65_535;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS endpoints (
  key TEXT PRIMARY KEY,
  id INTEGER NOT NULL UNIQUE,
  endpoint TEXT NOT NULL -- JSON
) STRICT;
CREATE TABLE IF NOT EXISTS endpoint_ids (last INTEGER NOT NULL) STRICT`;

/** The rows of the endpoints table in SQLite. */
export class EndpointStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
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
    this.#database.prepare("INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?)")
      .run(endpointKey(endpoint), endpoint.id, JSON.stringify(endpoint));
  }

  remove(key: string): void {
    this.#database.prepare("DELETE FROM endpoints WHERE key = ?").run(key);
  }

  all(): Endpoint[] {
    const rows = this.#database.prepare("SELECT endpoint FROM endpoints ORDER BY id").all();
    return (rows as { endpoint: string }[]).map((row) => JSON.parse(row.endpoint) as Endpoint);
  }
}

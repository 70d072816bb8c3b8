/** The agent's own memory across restarts: one SQLite file. */

import { DatabaseSync } from "node:sqlite";

/** Opens `<stateDir>/pilus.db` and makes the directory (0700) when it is missing. */
export function openDatabase(stateDir: string): DatabaseSync {
  Deno.mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const path = `${stateDir}/pilus.db`;
  try {
    const database = new DatabaseSync(path);
    // NORMAL loses nothing when the process dies, only when the machine does: then the pods are gone too.
    database.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000",
    );
    return database;
  } catch (cause) {
    throw new Error(`Cannot open the database ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** Runs `work` in one transaction: all of it counts, or nothing when it throws. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}

/** Memory across restarts: SQLite files. */

import { dirname } from "@std/path";
import { DatabaseSync } from "node:sqlite";
import { removeIfThere } from "./missing_files.ts";

/** What SQLite says of a file that is no database, or a spoilt one. */
const SPOILT = /not a database|malformed|corrupt/i;

/**
 * Opens the file and makes its directory (0700) when it is missing. A spoilt one is put aside as
 * `<path>.broken`, and `onBroken` is called: the database that is returned then is empty.
 */
export function openDatabase(
  path: string,
  onBroken: (reason: string, path: string) => void = () => {},
): DatabaseSync {
  Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return open(path);
  } catch (cause) {
    const reason = isDirectory(path) ? "it is a directory" : (cause as Error).message;
    if (!isDirectory(path) && !SPOILT.test(reason)) {
      throw new Error(`Cannot open the database ${path}: ${reason}`, { cause });
    }
    putAside(path);
    onBroken(reason, `${path}.broken`);
    return open(path);
  }
}

function open(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    // NORMAL loses nothing when the process dies, only when the machine does: then the pods are gone
    // too. EXCLUSIVE needs no shared memory file, which could not be made on a full disk.
    database.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; " +
        "PRAGMA busy_timeout = 5000",
    );
    const [row] = database.prepare("PRAGMA quick_check(1)").all();
    const found = row && Object.values(row)[0];
    if (found !== "ok") throw new Error(`database is malformed: ${found}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Renames the file, which nobody has open, to `<path>.broken`. */
export function putAside(path: string): void {
  for (const end of ["-wal", "-shm"]) removeIfThere(path + end);
  removeIfThere(`${path}.broken`, { recursive: true });
  Deno.renameSync(path, `${path}.broken`);
}

function isDirectory(path: string): boolean {
  try {
    return Deno.lstatSync(path).isDirectory;
  } catch {
    return false;
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
    try {
      database.exec("ROLLBACK");
    } catch { /* after some errors, as of a full disk, SQLite has done that itself */ }
    throw error;
  }
}

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { openDatabase, transaction } from "./database.ts";

function withState(work: (directory: string) => void): void {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-state-" });
  try {
    work(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

const SPOILT: [string, (path: string) => void][] = [
  [
    "random bytes",
    (path) => Deno.writeFileSync(path, crypto.getRandomValues(new Uint8Array(9000))),
  ],
  ["cut in a page", (path) => Deno.truncateSync(path, 6000)],
  ["a directory", (path) => {
    Deno.removeSync(path);
    Deno.mkdirSync(path);
  }],
];

for (const [name, spoil] of SPOILT) {
  Deno.test(`openDatabase() puts a file aside that is ${name}, and begins anew`, () => {
    withState((directory) => {
      const path = `${directory}/pilus.db`;
      {
        const database = openDatabase(`${directory}/pilus.db`);
        database.exec("CREATE TABLE t (a TEXT); CREATE TABLE u (a TEXT)");
        for (let i = 0; i < 200; i++) database.exec(`INSERT INTO t VALUES ('${"x".repeat(99)}')`);
        database.close();
      }
      spoil(path);
      const reasons: string[] = [];
      const database = openDatabase(`${directory}/pilus.db`, (reason) => void reasons.push(reason));
      assertEquals(reasons.length, 1);
      assertEquals(database.prepare("SELECT name FROM sqlite_master").all(), []);
      database.close();
      Deno.lstatSync(`${path}.broken`);
    });
  });
}

Deno.test("transaction() throws what went wrong, not that it could not be undone", () => {
  withState((directory) => {
    const database = openDatabase(`${directory}/pilus.db`);
    database.exec("CREATE TABLE t (a TEXT); PRAGMA max_page_count = 3");
    const fill = () =>
      transaction(database, () => {
        for (let i = 0; i < 100; i++) database.exec(`INSERT INTO t VALUES ('${"x".repeat(999)}')`);
      });
    assertMatch(assertThrows(fill, Error).message, /full/);
    assertEquals(database.prepare("SELECT count(*) AS n FROM t").get()?.n, 0);
    database.close();
  });
});

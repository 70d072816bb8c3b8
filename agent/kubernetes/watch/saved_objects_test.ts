import { assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { SavedObjects } from "./saved_objects.ts";

const object = (name: string) => ({ metadata: { name, namespace: "demo" } });

/** Runs `work` on the file when it has the objects a and b of a kind and c of another, both complete. */
function withSaved(work: (path: string) => void): void {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-saved-" });
  try {
    const path = `${directory}/saved.db`;
    const saved = new SavedObjects(path);
    for (const name of ["a", "b"]) saved.set("Pod", `demo/${name}`, object(name));
    saved.complete("Pod");
    saved.set("Service", "demo/c", object("c"));
    saved.complete("Service");
    saved[Symbol.dispose]();
    work(path);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** What an agent that starts with the file has of the two kinds, and how often it says that it is spoilt. */
function recalled(path: string) {
  let spoilt = 0;
  using saved = new SavedObjects(path, () => spoilt++);
  return { pods: saved.objects("Pod"), services: saved.objects("Service"), spoilt };
}

Deno.test("SavedObjects: what is spoilt is told, asked for anew, and holds up no other kind", () => {
  const all = [object("a"), object("b")], services = [object("c")];
  const row = (text: string) => `UPDATE objects SET object = ${text} WHERE key = 'demo/b'`;
  type Objects = unknown[] | undefined;
  const cases: [change: string, pods: Objects, services: Objects, spoilt: number][] = [
    ["SELECT 1", all, services, 0],
    [row("'{'"), undefined, services, 1],
    [row("NULL"), undefined, services, 1],
    [row("'null'"), undefined, services, 1],
    [row("'{}'"), undefined, services, 1],
    [row(`'{"metadata":{"name":{},"namespace":"demo"}}'`), undefined, services, 1],
    [row(`'{"metadata":{"name":"b","namespace":{}}}'`), undefined, services, 1],
    ["ALTER TABLE objects RENAME COLUMN object TO content", undefined, undefined, 1],
    ["ALTER TABLE complete RENAME COLUMN kind TO name", undefined, undefined, 1],
    ["DROP TABLE objects; CREATE VIEW objects AS SELECT 1", undefined, undefined, 1],
  ];
  for (const [change, pods, services, spoilt] of cases) {
    withSaved((path) => {
      const database = new DatabaseSync(path);
      database.exec(change);
      database.close();
      assertEquals(recalled(path), { pods, services, spoilt }, change);
      // what it was is over then, and what comes is kept
      if (spoilt === 0) return;
      {
        using saved = new SavedObjects(path);
        saved.set("Pod", "demo/d", object("d"));
        saved.complete("Pod");
      }
      assertEquals(recalled(path), { pods: [object("d")], services, spoilt: 0 }, change);
    });
  }
});

Deno.test("SavedObjects: of a list that broke off nothing is left for a later one", () => {
  withSaved((path) => {
    {
      using saved = new SavedObjects(path);
      saved.set("Node", "away", { metadata: { name: "away" } });
    }
    {
      using saved = new SavedObjects(path);
      assertEquals(saved.objects("Node"), undefined);
      saved.complete("Node");
    }
    using saved = new SavedObjects(path);
    assertEquals(saved.objects("Node"), []);
  });
});

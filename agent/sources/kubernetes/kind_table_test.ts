import { assertEquals } from "@std/assert";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import { SavedObjects } from "../../kubernetes/watch/saved_objects.ts";
import type { Table } from "../../core/table.ts";
import type { Resource } from "../../kubernetes/resources.ts";
import { KindTable } from "./kind_table.ts";

Deno.test("KindTable: what was saved, cannot be read any more and is gone does not come back", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-kind-" });
  try {
    const path = `${directory}/saved.db`;
    {
      using saved = new SavedObjects(path);
      const metadata = { name: "a", namespace: "demo" };
      saved.set("Pod", "demo/a", { metadata, spec: { nodeName: 5 } });
      saved.complete("Pod");
    }
    const found: number[] = [];
    for (const said of ["nothing", "all"]) {
      using saved = new SavedObjects(path);
      const tables = createResourceTables();
      const { problems, Pod } = tables;
      const table = Pod as Table<Resource>;
      const rows = new KindTable({ kind: "Pod", table, problems, saved });
      rows.recall();
      found.push(problems.size);
      if (said === "all") continue;
      await rows.apply({ type: "list" });
      await rows.apply({ type: "listed" });
      found.push(problems.size);
    }
    assertEquals(found, [1, 0, 0]);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

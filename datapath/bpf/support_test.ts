/** What SUPPORT.md says of maps on this kernel is so; hooks_test.ts tries the hooks. */

import { assertEquals } from "@std/assert";
import { mapKinds, tryMapKind } from "./testdata/map_table.ts";
import { result } from "./testdata/support.ts";

const rows = Deno.readTextFileSync(new URL("SUPPORT.md", import.meta.url)).split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()));
const column = rows.find(([, title]) => title === "Map")?.indexOf(Deno.osRelease()) ?? -1;

Deno.test({
  name: "each kind of map works that SUPPORT.md says works on this kernel, and no other",
  ignore: column < 0,
  async fn() {
    const said = mapKinds.map((kind) => rows.find(([, name]) => name === kind)?.[column]);
    const found = [];
    for (const kind of mapKinds) found.push(await result(() => tryMapKind(kind)));
    const works = (list: (string | undefined)[]) => mapKinds.filter((_, i) => list[i] === "works");
    assertEquals(works(found), works(said));
  },
});

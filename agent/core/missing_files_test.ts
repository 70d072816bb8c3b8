import { assert, assertEquals, assertThrows } from "@std/assert";
import { fileInfo, namesIn, removeIfThere } from "./missing_files.ts";

Deno.test("fileInfo(), namesIn() and removeIfThere() take what is missing for no failure, and follow no link", () => {
  const root = Deno.makeTempDirSync({ prefix: "pilus-missing-" });
  try {
    const folder = `${root}/folder`, link = `${root}/link`;
    assertEquals(fileInfo(folder), undefined);
    assertEquals(namesIn(folder), []);
    removeIfThere(folder);

    Deno.mkdirSync(folder);
    for (const name of ["b", "a"]) Deno.writeTextFileSync(`${folder}/${name}`, name);
    Deno.symlinkSync(folder, link);
    assertEquals(namesIn(folder), ["a", "b"]);
    assert(fileInfo(link)?.isSymlink);
    assertThrows(() => removeIfThere(folder), Error);
    removeIfThere(link, { recursive: true });
    assertEquals(namesIn(folder), ["a", "b"]);
    removeIfThere(folder, { recursive: true });
    assertEquals(fileInfo(folder), undefined);
    // another failure stays one
    Deno.writeTextFileSync(folder, "");
    assertThrows(() => namesIn(folder), Error);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

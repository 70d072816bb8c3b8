import { assertEquals, assertThrows } from "@std/assert";
import { namesIn } from "./missing_files.ts";
import { draftPath, draftsOf, removeDrafts, replaceWhole, writeWhole } from "./whole_file.ts";

Deno.test("writeWhole() replaces a link in place of following it, and no draft stays after a failure", () => {
  const root = Deno.makeTempDirSync({ prefix: "pilus-whole-" });
  try {
    const victim = `${root}/victim`, path = `${root}/file`;
    Deno.writeTextFileSync(victim, "untouched");
    Deno.symlinkSync(victim, path);
    writeWhole(path, "text", { mode: 0o600 });
    assertEquals(Deno.readTextFileSync(path), "text");
    assertEquals(Deno.lstatSync(path).mode! & 0o777, 0o600);
    assertEquals(Deno.readTextFileSync(victim), "untouched");

    assertThrows(() =>
      replaceWhole(path, (draft) => {
        Deno.writeTextFileSync(draft, "half");
        throw new Error("no room");
      }), Error);
    assertThrows(() => replaceWhole(root, (draft) => Deno.writeTextFileSync(draft, "x")), Error);
    assertEquals(Deno.readTextFileSync(path), "text");
    assertEquals(namesIn(root), ["file", "victim"]);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("draftsOf() finds what a writer left of that file alone; a draft's name is not too long", () => {
  const root = Deno.makeTempDirSync({ prefix: "pilus-drafts-" });
  try {
    const path = `${root}/file`, long = `${root}/${"x".repeat(255)}`;
    const drafts = [draftPath(path), draftPath(path)].sort();
    const others = [
      draftPath(`${root}/file.more`),
      draftPath(`${root}/fil`),
      path,
      draftPath(long),
    ];
    for (const name of [...drafts, ...others]) Deno.writeTextFileSync(name, "half");
    assertEquals(draftsOf(path).sort(), drafts);
    removeDrafts(path);
    assertEquals(namesIn(root).map((name) => `${root}/${name}`), others.sort());
    assertEquals(draftsOf(`${root}/none/file`), []);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

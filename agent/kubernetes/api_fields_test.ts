import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { KUBERNETES, withFieldTables } from "../../scripts/fields_table.ts";
import { API_FIELDS, type ApiKind, rowOf } from "./api_fields.ts";
import { KINDS } from "./kinds.ts";
import { type Schema, shapeOf } from "./schema.ts";

const ROOT = new URL("../../", import.meta.url);
const KIND_NAMES = Object.keys(API_FIELDS) as ApiKind[];

/** The paths of all fields that the API has, by kind. */
const api = new Map<string, string[]>();
for (
  const line of Deno.readTextFileSync(new URL("testdata/api_1.34.txt", import.meta.url))
    .trim().split("\n").slice(1)
) {
  if (line.startsWith("# ")) api.set(line.slice(2), []);
  else [...api.values()].at(-1)!.push(line);
}

/** Whether one is the other or above it. */
function holds(path: string, below: string): boolean {
  return below === path || below.startsWith(`${path}.`) || below.startsWith(`${path}[]`);
}

/** The fields that the schema looks at, and those that it passes over. */
function fieldsOf(schema: Schema, path: string): { path: string; passedOver: boolean }[] {
  const shape = shapeOf(schema);
  if (!shape) return [{ path, passedOver: false }];
  if ("item" in shape) return fieldsOf(shape.item, `${path}[]`);
  const below = (name: string) => path === "" ? name : `${path}.${name}`;
  return [
    ...Object.entries(shape.fields).flatMap(([name, field]) => fieldsOf(field, below(name))),
    ...shape.unused.map((name) => ({ path: below(name), passedOver: true })),
  ];
}

for (const kind of KIND_NAMES) {
  Deno.test(`each field of a ${kind} has a row, and each row a field`, () => {
    const paths = api.get(kind)!;
    assert(paths.length > 30);
    assertEquals(paths.filter((path) => !rowOf(kind, path)), []);
    const speaking = new Set(paths.map((path) => rowOf(kind, path)?.[0]));
    const silent = Object.keys(API_FIELDS[kind]).filter((path) => !speaking.has(path));
    assertEquals(silent, []);
  });

  Deno.test(`the schema of a ${kind} knows the API's fields, and passes over none that counts`, () => {
    // kinds without a status had one, or may get one
    const known = fieldsOf(KINDS[kind].schema, "").filter(({ path }) => path !== "status");
    const strange = known.filter(({ path }) => !api.get(kind)!.some((other) => holds(path, other)));
    assertEquals(strange, []);
    const skipped = known.filter(({ path, passedOver }) =>
      passedOver && (rowOf(kind, path) ?? rowOf(kind, `${path}[]`))?.[1].verdict !== "irrelevant"
    );
    assertEquals(skipped, []);
    const obeyed = api.get(kind)!.filter((path) => rowOf(kind, path)![1].verdict !== "irrelevant");
    const looked = known.filter(({ passedOver }) => !passedOver).map(({ path }) => path);
    const unseen = obeyed.filter((path) => !looked.some((field) => holds(field, path)));
    assertEquals(unseen, []);
  });
}

Deno.test("what is obeyed or named as a problem has a test that is there", () => {
  for (
    const [path, { verdict, test }] of KIND_NAMES.flatMap((k) => Object.entries(API_FIELDS[k]))
  ) {
    assertEquals(verdict === "irrelevant", test === undefined, path);
    if (test) assert(Deno.statSync(fromFileUrl(new URL(test, ROOT))).isFile, test);
  }
});

Deno.test("docs/kubernetes.md has the rows as they are; scripts/fields_table.ts writes them", () => {
  const document = Deno.readTextFileSync(KUBERNETES);
  assertEquals(document, withFieldTables(document));
});

import { assertEquals } from "@std/assert";
import { jsonDocuments } from "./json_documents.ts";

Deno.test("jsonDocuments() finds a key that a map has twice, whatever its texts look like", () => {
  const cases: [text: string, twice: string | undefined][] = [
    ['{"a": 1, "b": {"a": 1}, "c": [{"a": 1}, {"a": 1}]}', undefined],
    ['{"a": 1, "a": 1}', '1: not to be read: a map has the key "a" twice'],
    ['{"a"\n\t :1,\r\n"a"\r:1}', '3: not to be read: a map has the key "a" twice'],
    ['{"a": 1, "\\u0061": 1}', '1: not to be read: a map has the key "a" twice'],
    ['{"__proto__": 1, "__proto__": 1}', '1: not to be read: a map has the key "__proto__" twice'],
    ['{"__proto__": {"a": 1}, "b": 1}', undefined],
    ['{"x": [[{"a": {}, "a": {}}]]}', '1: not to be read: a map has the key "a" twice'],
    // texts that look like keys, and keys that do not
    ['{"a": ": 1", "b": "\\"a\\": 1", "c": "\\"a\\" :"}', undefined],
    ['{"a": "\\"a\\": 1", "a": 1}', '1: not to be read: a map has the key "a" twice'],
    ['{"a\\\\": 1, "b": 1}', undefined],
    ['{"a\\\\": 1, "a\\\\": ":"}', '1: not to be read: a map has the key "a\\\\" twice'],
    ['{"a": 1}\n---\n{"a": 1}', undefined],
    ['{"a": 1}\n{"b": 1,\n"b": 1}', '3: not to be read: a map has the key "b" twice'],
    ['":"', undefined],
  ];
  for (const [text, twice] of cases) {
    const errors = [...jsonDocuments(text)].flatMap(({ errors }) => errors);
    const said = errors.map(({ line, message }) => `${line}: ${message}`);
    assertEquals(said, twice === undefined ? [] : [twice], text);
  }
});

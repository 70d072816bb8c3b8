/** From JSON to documents, much faster than by way of YAML. */

import { type DocumentProblem, type ParsedDocument, TooMuchError } from "./parsed_document.ts";
import { MAX_DEPTH, TOO_DEEP } from "./parsed_document.ts";

/** How many keys its maps have. Throws TooMuchError for a value with too many levels. */
function countKeys(value: unknown, depth = 0): number {
  if (typeof value !== "object" || value === null) return 0;
  if (depth > MAX_DEPTH) throw new TooMuchError(TOO_DEEP);
  let count = 0;
  if (Array.isArray(value)) { for (const item of value) count += countKeys(item, depth + 1); }
  else {
    for (const key in value) {
      count += 1 + countKeys((value as Record<string, unknown>)[key], depth + 1);
    }
  }
  return count;
}

/** Throws SyntaxError for what is not JSON, and TooMuchError. */
export function* jsonDocuments(text: string): Generator<ParsedDocument> {
  let next = 1;
  // most are one document, and the expression looks at each line
  for (const part of text.includes("---") ? text.split(/^---[ \t]*$/m) : [text]) {
    const begin = part.search(/\S/);
    const line = next + newlines(part.slice(0, begin));
    if (begin >= 0) {
      for (const { value, offset, end } of jsonValues(part)) {
        const keys = countKeys(value);
        const at = offset === 0 ? line : next + newlines(part.slice(0, offset));
        // none is there twice when the text has no more of them than the value
        const twice = countColons(part, offset, end) === keys
          ? undefined
          : repeatedKey(part, offset, end);
        const errors: DocumentProblem[] = [];
        if (twice) {
          const message = `not to be read: a map has the key ${JSON.stringify(twice.key)} twice`;
          errors.push({ line: next + newlines(part.slice(0, twice.offset)), message });
        }
        yield { value, errors, lineOf: () => at, sourceOf: () => undefined };
      }
    }
    next += newlines(part);
  }
}

/** The value of the text, or objects one after the other. Throws SyntaxError. */
function* jsonValues(text: string): Generator<{ value: unknown; offset: number; end: number }> {
  try {
    yield { value: JSON.parse(text), offset: 0, end: text.length };
    return;
  } catch (error) {
    if (objectEnd(text, 0) === undefined) throw error;
  }
  for (let offset = 0; offset < text.length;) {
    const end = objectEnd(text, offset) ?? text.length;
    const part = text.slice(offset, end);
    if (part.trim() !== "") {
      yield { value: JSON.parse(part), offset: offset + part.search(/\S/), end };
    }
    offset = end;
  }
}

/** Behind the string that begins at the offset. */
function stringEnd(text: string, offset: number): number | undefined {
  for (let end = text.indexOf('"', offset + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
  return undefined;
}

/** Where the object that begins at the offset, or after it, ends. */
function objectEnd(text: string, offset: number): number | undefined {
  const marks = /["{}]/g;
  marks.lastIndex = offset;
  let depth = 0;
  for (let mark; (mark = marks.exec(text));) {
    if (mark[0] === '"') {
      const end = stringEnd(text, mark.index);
      if (end === undefined) return undefined;
      marks.lastIndex = end;
    } else if (mark[0] === "{") depth++;
    else if (--depth <= 0) return marks.lastIndex;
  }
  return undefined;
}

/** How often a quote is before a colon: behind each key, and within some texts. */
function countColons(text: string, offset: number, end: number): number {
  let count = 0;
  for (let at = text.indexOf(":", offset); at >= 0 && at < end; at = text.indexOf(":", at + 1)) {
    let before = at - 1;
    while (isSpace(text.charCodeAt(before))) before--;
    if (text[before] === '"') count++;
  }
  return count;
}

/** Of what JSON may have between its parts. */
function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}

/** The first key that a map has twice, in JSON that is well-formed. JSON.parse takes the last one. */
function repeatedKey(text: string, offset: number, end: number) {
  const marks = /["{}]/g;
  const colon = /\s*:/y;
  marks.lastIndex = offset;
  const maps: Set<string>[] = [];
  for (let mark; (mark = marks.exec(text)) && mark.index < end;) {
    if (mark[0] === "{") maps.push(new Set());
    else if (mark[0] === "}") maps.pop();
    else {
      const behind = stringEnd(text, mark.index) ?? text.length;
      marks.lastIndex = colon.lastIndex = behind;
      if (!colon.test(text)) continue;
      const key = JSON.parse(text.slice(mark.index, behind)) as string;
      const keys = maps.at(-1)!;
      if (keys.has(key)) return { key, offset: mark.index };
      keys.add(key);
    }
  }
  return undefined;
}

function newlines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

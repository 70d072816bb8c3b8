/** Makes values small: files have many thousands of resources, and most of what they say is said often. */

/** Longer contents of parts are not compared: they are hardly ever equal. */
const SHARED_LENGTH = 400;

/** The engine copies shorter parts of texts. */
const SLICE_LENGTH = 13;

/** Equal parts of the values that it gives are one object, so nothing of them may be changed. */
export class Interner {
  readonly #texts = new Map<string, string>();
  readonly #parts = new Map<string, unknown>();
  /** Of the part that was made last; undefined when it is long. */
  #content: string | undefined;

  /** A copy of plain data without the fields whose value is null, as they count as missing. */
  intern<T>(value: T): T {
    return this.#copy(value) as T;
  }

  #copy(value: unknown): unknown {
    if (typeof value === "string") return this.#text(value);
    if (typeof value !== "object" || value === null) {
      this.#content = String(value);
      return value;
    }
    if (Array.isArray(value)) return this.#list(value);
    const copy: Record<string, unknown> = {};
    let content: string | undefined = "{";
    for (const key of Object.keys(value)) {
      const field = (value as Record<string, unknown>)[key];
      if (field === null || field === undefined) continue;
      const part = this.#copy(field);
      if (key === "__proto__") {
        Object.defineProperty(copy, key, { value: part, enumerable: true });
      } else copy[key] = part;
      content = joined(content, `${key.length}:${key}`, this.#content);
    }
    return this.#share(joined(content, "}", ""), copy);
  }

  #list(value: readonly unknown[]): unknown {
    const copy: unknown[] = [];
    let content: string | undefined = "[";
    for (const item of value) {
      copy.push(this.#copy(item));
      content = joined(content, ",", this.#content);
    }
    return this.#share(joined(content, "]", ""), copy);
  }

  #text(value: string): string {
    this.#content = `${value.length}"${value}`;
    const known = this.#texts.get(value);
    if (known !== undefined) return known;
    // a parser may give a part of the file's text, which would keep all of that in memory
    const own = value.length < SLICE_LENGTH ? value : JSON.parse(JSON.stringify(value));
    this.#texts.set(own, own);
    return own;
  }

  #share(content: string | undefined, part: unknown): unknown {
    this.#content = content;
    if (content === undefined) return part;
    const known = this.#parts.get(content);
    if (known !== undefined) return known;
    this.#parts.set(content, part);
    return part;
  }
}

function joined(before: string | undefined, name: string, content: string | undefined) {
  if (before === undefined || content === undefined) return undefined;
  const length = before.length + name.length + content.length;
  return length > SHARED_LENGTH ? undefined : before + name + content;
}

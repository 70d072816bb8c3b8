/** Finds label sets by selectors, and selectors by label sets, without trying each with each. */

import type { LabelMap } from "../../cluster/labels.ts";
import type { Requirement, Selector } from "./selector.ts";

/** Items in buckets; a bucket of one item is the item itself. */
class Buckets<T extends string | number | object> {
  #buckets = new Map<string, T | Set<T>>();

  add(key: string, item: T): void {
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) this.#buckets.set(key, item);
    else if (bucket instanceof Set) bucket.add(item);
    else if (bucket !== item) this.#buckets.set(key, new Set([bucket, item]));
  }

  delete(key: string, item: T): void {
    const bucket = this.#buckets.get(key);
    if (bucket instanceof Set) {
      bucket.delete(item);
      if (bucket.size === 0) this.#buckets.delete(key);
    } else if (bucket === item) {
      this.#buckets.delete(key);
    }
  }

  size(key: string): number {
    const bucket = this.#buckets.get(key);
    return bucket === undefined ? 0 : bucket instanceof Set ? bucket.size : 1;
  }

  *get(key: string): Generator<T> {
    const bucket = this.#buckets.get(key);
    if (bucket instanceof Set) yield* bucket;
    else if (bucket !== undefined) yield bucket;
  }
}

/** Label sets of items, to be found by what a selector requires of a value. */
export class LabelIndex<T extends string | number> {
  #buckets = new Buckets<T>();
  /** Sources seen so far: few. */
  #sources = new Set<string>();

  add(labels: LabelMap, item: T): void {
    for (const [name, value] of Object.entries(labels)) {
      this.#sources.add(name.slice(0, name.indexOf(":")));
      this.#buckets.add(`${name}=${value}`, item);
    }
  }

  delete(labels: LabelMap, item: T): void {
    for (const [name, value] of Object.entries(labels)) {
      this.#buckets.delete(`${name}=${value}`, item);
    }
  }

  /**
   * Every item that the selector may select, and others; undefined when it names no value, so that
   * all may be.
   */
  candidates(selector: Selector): Iterable<T> | undefined {
    let best: string[] | undefined, least = Infinity;
    for (const requirement of selector) {
      if (requirement.operator !== "In") continue;
      const keys = this.#keysOf(requirement);
      const size = keys.reduce((sum, key) => sum + this.#buckets.size(key), 0);
      if (size < least) [best, least] = [keys, size];
    }
    return best && new Set(best.flatMap((key) => [...this.#buckets.get(key)]));
  }

  #keysOf({ source, key, values }: Requirement): string[] {
    const sources = source === undefined ? [...this.#sources] : [source];
    return sources.flatMap((each) => values.map((value) => `${each}:${key}=${value}`));
  }
}

/** Selectors of items, to be found by a label set that may meet them. Each item has one selector. */
export class SelectorIndex<T extends object> {
  #buckets = new Buckets<T>();
  #keys = new Map<T, readonly string[]>();
  /** Items whose selector names no value. */
  #rest = new Set<T>();

  add(selector: Selector, item: T): void {
    let best: string[] | undefined, least = Infinity;
    for (const { operator, source = "*", key, values } of selector) {
      if (operator !== "In") continue;
      const keys = values.map((value) => `${source}:${key}=${value}`);
      const size = keys.reduce((sum, key) => sum + this.#buckets.size(key), 0);
      if (size < least) [best, least] = [keys, size];
    }
    if (!best) {
      this.#rest.add(item);
      return;
    }
    this.#keys.set(item, best);
    for (const key of best) this.#buckets.add(key, item);
  }

  delete(item: T): void {
    this.#rest.delete(item);
    for (const key of this.#keys.get(item) ?? []) this.#buckets.delete(key, item);
    this.#keys.delete(item);
  }

  /** Every item whose selector the labels may meet, and others. */
  candidates(labels: LabelMap): Set<T> {
    const found = new Set(this.#rest);
    for (const [name, value] of Object.entries(labels)) {
      const key = name.slice(name.indexOf(":") + 1);
      for (const item of this.#buckets.get(`${name}=${value}`)) found.add(item);
      for (const item of this.#buckets.get(`*:${key}=${value}`)) found.add(item);
    }
    return found;
  }
}

/** Random values by a description of what may stand where, with a fault here and there. */

/** What may stand at a place. */
export type Shape =
  | { kind: "value"; good: readonly unknown[]; bad: readonly unknown[] }
  | { kind: "list"; item: Shape; max: number }
  | {
    kind: "map";
    fields: Readonly<Record<string, Shape>>;
    required: readonly string[];
    /** Keys that a fault adds; those of fields that are not known when there are none. */
    others: readonly string[];
  };

/** What the resources of a kind are; a kind may have several, which count apart. */
export interface KindShape {
  apiVersion: string;
  kind: string;
  shape: Shape;
}

/** One of some values; `bad` are refused, or are at the edge of it. */
export function value(good: readonly unknown[], bad: readonly unknown[] = []): Shape {
  return { kind: "value", good, bad };
}

export function list(item: Shape, max = 2): Shape {
  return { kind: "list", item, max };
}

/** Fields that `required` does not name are there at times. */
export function map(
  fields: Record<string, Shape>,
  required: readonly string[] = [],
  others: readonly string[] = [],
): Shape {
  return { kind: "map", fields, required, others };
}

/** What people and programs write where something else is meant. */
const ANYTHING: readonly unknown[] = [
  ...[null, "", 0, 1, -1, 1.5, 1e21, true, false, "x", " x", "x ", "X", "a.b", "é", "a/b"],
  ...["yes", "null", "80", "0", "10.0.0.1", [], {}, [null], [""], { a: "b" }, "x".repeat(64)],
];

/** Makes random values. */
export class Maker {
  readonly #below: (n: number) => number;
  /** Faults that may still be made. */
  faults = 0;

  constructor(below: (n: number) => number) {
    this.#below = below;
  }

  below(n: number): number {
    return this.#below(n);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)]!;
  }

  /** Once in `n` times. */
  once(n: number): boolean {
    return this.#below(n) === 0;
  }

  /** Whether to make a fault here. */
  #fails(rate: number): boolean {
    if (this.faults === 0 || !this.once(rate)) return false;
    this.faults--;
    return true;
  }

  make(shape: Shape): unknown {
    switch (shape.kind) {
      case "value":
        if (shape.bad.length > 0 && this.#fails(5)) return this.pick(shape.bad);
        return this.#fails(25) ? this.pick(ANYTHING) : this.pick(shape.good);
      case "list": {
        if (this.#fails(40)) return this.pick(ANYTHING);
        const items = Array.from(
          { length: this.once(6) ? 0 : 1 + this.#below(shape.max) },
          () => this.make(shape.item),
        );
        if (items.length > 0 && this.#fails(12)) items.push(items[0]);
        if (this.#fails(40)) items.push(null);
        return items;
      }
      case "map":
        if (this.#fails(40)) return this.pick(ANYTHING);
        return this.#map(shape);
    }
  }

  #map({ fields, required, others }: Extract<Shape, { kind: "map" }>): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const [name, shape] of Object.entries(fields)) {
      const wanted = required.includes(name) ? !this.#fails(12) : this.once(4);
      if (!wanted) continue;
      result[name] = this.#fails(60) ? null : this.make(shape);
    }
    if (this.#fails(25)) {
      const [known = "x"] = Object.keys(fields);
      const names = others.length > 0 ? others : ["nothing", `${known}s`, known.toUpperCase()];
      result[this.pick(names)] = this.pick(["x", "x", 1]);
    }
    return result;
  }
}

/** Finds prefixes within others, and around them, without trying each with each. */

import type { Cidr } from "../../../datapath/net/ip.ts";

/** What is known of a prefix's whole bytes. */
interface Branch<T> {
  /** Items whose prefixes end within the next byte. */
  items: Set<T>;
  longer: Map<number, Branch<T>>;
}

function newBranch<T>(): Branch<T> {
  return { items: new Set(), longer: new Map() };
}

/** Items by their prefixes, a byte a level. Prefixes of IPv4 count as mapped into those of IPv6. */
export class PrefixIndex<T> {
  readonly #root: Branch<T> = newBranch();

  add({ address, prefixLength }: Cidr, item: T): void {
    let branch = this.#root;
    for (const byte of address.subarray(0, prefixLength >> 3)) {
      let next = branch.longer.get(byte);
      if (!next) branch.longer.set(byte, next = newBranch());
      branch = next;
    }
    branch.items.add(item);
  }

  delete({ address, prefixLength }: Cidr, item: T): void {
    const way = [this.#root];
    for (const byte of address.subarray(0, prefixLength >> 3)) {
      const next = way.at(-1)!.longer.get(byte);
      if (!next) return;
      way.push(next);
    }
    way.at(-1)!.items.delete(item);
    for (let depth = way.length - 1; depth > 0; depth--) {
      const { items, longer } = way[depth]!;
      if (items.size + longer.size > 0) return;
      way[depth - 1]!.longer.delete(address[depth - 1]!);
    }
  }

  /** Every item whose prefix holds all of `cidr`, and a few others. */
  *around({ address, prefixLength }: Cidr): Generator<T> {
    let branch: Branch<T> | undefined = this.#root;
    for (let depth = 0; branch; depth++) {
      yield* branch.items;
      if (depth === prefixLength >> 3) return;
      branch = branch.longer.get(address[depth]!);
    }
  }

  /** Every item whose prefix lies within `cidr`, and a few others. */
  *within({ address, prefixLength }: Cidr): Generator<T> {
    let top: Branch<T> | undefined = this.#root;
    for (const byte of address.subarray(0, prefixLength >> 3)) top = top?.longer.get(byte);
    const waiting = top ? [top] : [];
    for (let branch = waiting.pop(); branch; branch = waiting.pop()) {
      yield* branch.items;
      waiting.push(...branch.longer.values());
    }
  }
}

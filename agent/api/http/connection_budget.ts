/** How many connections a listener, or several together, may have open. */

/** A connection that can be made to end. */
export interface Evictable {
  close(): void;
}

/**
 * Places for connections. When all are taken, the connection whose client has been waited for
 * longest loses its place: a client that sends its request at once is served, whoever holds
 * connections open.
 */
export class ConnectionBudget {
  readonly #limit: number;
  readonly #all = new Set<Evictable>();
  /** Those whose client is waited for, oldest first. */
  readonly #idle = new Set<Evictable>();

  /** Throws RangeError unless the limit is at least 1. */
  constructor(limit: number) {
    if (!(limit >= 1)) throw new RangeError(`A budget has at least one connection, not ${limit}`);
    this.#limit = limit;
  }

  /** Open connections. */
  get open(): number {
    return this.#all.size;
  }

  /** Gives an idle connection a place. Returns false when all are being answered. */
  add(connection: Evictable): boolean {
    if (this.#all.size >= this.#limit) {
      const [oldest] = this.#idle;
      if (!oldest) return false;
      this.remove(oldest);
      oldest.close();
    }
    this.#all.add(connection);
    this.#idle.add(connection);
    return true;
  }

  /** The connection is being answered from now on and keeps its place. */
  busy(connection: Evictable): void {
    this.#idle.delete(connection);
  }

  /** The connection's client is waited for from now on. */
  idle(connection: Evictable): void {
    if (this.#all.has(connection)) this.#idle.add(connection);
  }

  /** Whether its client is waited for. */
  isIdle(connection: Evictable): boolean {
    return this.#idle.has(connection);
  }

  /** The connection gives its place back. */
  remove(connection: Evictable): void {
    this.#idle.delete(connection);
    this.#all.delete(connection);
  }
}

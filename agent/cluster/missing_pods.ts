/**
 * Pods that nodes have published and that no source has: gone, while their node has not taken them
 * back, or down. A Pod that moves to another file or comes a little later than what its node says of it
 * is none of them.
 */

import type { Timer } from "../core/timer.ts";
import { Table } from "../core/table.ts";
import type { Pod } from "../kubernetes/resources.ts";
import type { RemoteAddress } from "./rows.ts";

/** What {@linkcode MissingPods} takes. */
export interface MissingPodsOptions {
  published: Table<RemoteAddress>;
  /** Whether something is published of that pod now. */
  isPublished: (pod: string) => boolean;
  pods: Table<Pod>;
  /**
   * Whether the sources have the Pods of other nodes: then one that they do not have is gone.
   *
   * @default {true}
   */
  knowsAllPods?: boolean;
  /** This node's name. */
  nodeName: string;
  /**
   * Milliseconds that a pod has to be missing: longer than an endpoint keeps its identity without one.
   *
   * @default {2000}
   */
  holdMs?: number;
}

/** See the module. */
export class MissingPods implements Disposable {
  /** By `namespace/name`. Empty while the sources have no Pod of another node: they need not have all. */
  readonly missing = new Table<{ pod: string }>({ name: "missing-pods", key: ({ pod }) => pod });
  readonly #options: Required<MissingPodsOptions>;
  readonly #watches: Disposable[] = [];
  /** By pod that may be missing, when it was first found to be. */
  readonly #since = new Map<string, number>();
  /** Whether pods were passed over, as nothing was known of other nodes' pods. */
  #passedOver = false;
  #timer: Timer | undefined;

  constructor(options: MissingPodsOptions) {
    this.#options = { holdMs: 2000, knowsAllPods: true, ...options };
    const { published, pods, knowsAllPods } = this.#options;
    if (!knowsAllPods) return;
    this.#watches.push(
      published.watch((changes) => {
        const now = performance.now();
        for (const change of changes) {
          this.#suspect(change.kind === "deleted" ? change.previous.pod : change.row.pod, now);
        }
      }),
      pods.watch((changes) => {
        const now = performance.now();
        for (const change of changes) {
          if (change.kind === "deleted") this.#suspect(change.key, now);
          else this.#found(change.key, change.row);
        }
      }),
    );
    this.#suspectAll();
  }

  #found(key: string, pod: Pod): void {
    this.#since.delete(key);
    this.missing.delete(key);
    if (!this.#passedOver || !this.#isElsewhere(pod)) return;
    this.#passedOver = false;
    this.#suspectAll();
  }

  #suspectAll(): void {
    const now = performance.now();
    for (const { pod } of this.#options.published.rows()) this.#suspect(pod, now);
  }

  #suspect(pod: string, now: number): void {
    if (this.#options.pods.has(pod) || this.#since.has(pod)) return;
    this.#since.set(pod, now);
    this.#timer ??= setTimeout(() => this.#judge(), this.#options.holdMs);
  }

  #judge(): void {
    this.#timer = undefined;
    const { pods, isPublished, holdMs } = this.#options;
    if (!pods.rows().some((pod) => this.#isElsewhere(pod))) {
      this.#passedOver ||= this.#since.size > 0;
      this.#since.clear();
      return;
    }
    const now = performance.now();
    let next = Infinity;
    for (const [pod, since] of this.#since) {
      // timers may be a millisecond early
      const left = Math.ceil(since + holdMs - now - 1);
      if (left > 0) {
        next = Math.min(next, left);
        continue;
      }
      this.#since.delete(pod);
      if (isPublished(pod)) this.missing.set({ pod });
      else this.missing.delete(pod);
    }
    if (next < Infinity) this.#timer = setTimeout(() => this.#judge(), next);
  }

  #isElsewhere({ spec }: Pod): boolean {
    return spec?.nodeName !== undefined && spec.nodeName !== this.#options.nodeName;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }
}

/** What status of the nodes says, looked at all the time. */

import type { StatusView } from "../../agent/api/views.ts";
import { delay } from "../../cli/lab/host.ts";
import type { LabNode } from "../../cli/lab/lab.ts";
import type { Report } from "./judge.ts";

const EACH_MS = 60;
const TIMEOUT_MS = 2000;

/** See the module. Disposing ends it. */
export class Watcher implements AsyncDisposable {
  readonly #reports: Report[] = [];
  /** Of lapses by node, reconciler and beginning. */
  readonly #lapses = new Map<string, Report>();
  readonly #last = new Map<string, StatusView>();
  readonly #loops: Promise<void>[];
  #stopped = false;
  looks = 0;

  constructor(nodes: readonly LabNode[]) {
    this.#loops = nodes.map((node) => this.#watch(node));
  }

  /** All windows up to now. */
  get reports(): Report[] {
    return [...this.#reports, ...this.#lapses.values()];
  }

  /** The newest answer of a node. */
  last(node: LabNode): StatusView | undefined {
    return this.#last.get(node.name);
  }

  async #watch(node: LabNode): Promise<void> {
    let bad: Report | undefined;
    let before = Date.now();
    while (!this.#stopped) {
      const status = await node.client.call<StatusView>("/v1/status", {
        signal: AbortSignal.timeout(TIMEOUT_MS),
      }).catch(() => undefined);
      const now = Date.now();
      this.looks++;
      if (status) this.#last.set(node.name, status);
      else this.#last.delete(node.name);
      if (status) this.#take(node, status);
      const kind = status === undefined ? "away" : status.health.ok ? undefined : "not ok";
      if (bad) bad.to = now;
      if (kind !== bad?.kind) {
        bad = kind && {
          ...{ node: node.name, kind, from: before, to: now },
          text: status?.health.reason ?? "",
        };
        if (bad) this.#reports.push(bad);
      }
      before = now;
      await delay(EACH_MS);
    }
  }

  #take(node: LabNode, { lapses }: StatusView): void {
    for (const { reconciler, since, until, rows } of lapses) {
      this.#lapses.set(`${node.name} ${reconciler} ${since}`, {
        node: node.name,
        kind: "put right",
        from: Date.parse(since),
        to: until ? Date.parse(until) : Date.now(),
        text: `${reconciler}: ${rows.join(", ")}`,
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }
}

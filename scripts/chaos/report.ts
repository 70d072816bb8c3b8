/** What a run has to say: each minute, and at its end. */

import { clock, type Fault, judgeCuts, judgePassed, judgeSilence, type Opening } from "./judge.ts";
import type { Traffic } from "./traffic.ts";
import type { Watcher } from "./watcher.ts";

const SHOWN = 40;
/** What is shown around a window, in milliseconds. */
const AROUND_MS = 2000;

export class Report {
  readonly #faults: readonly Fault[];
  readonly #traffic: Traffic;
  readonly #watcher: Watcher;
  readonly #violations: string[] = [];
  /** How long it took after each round, in milliseconds. */
  readonly #settled: { after: string; ms: number }[] = [];
  readonly #notMade = new Map<string, number>();

  constructor(faults: readonly Fault[], traffic: Traffic, watcher: Watcher) {
    this.#faults = faults;
    this.#traffic = traffic;
    this.#watcher = watcher;
  }

  violation(text: string): void {
    this.#violations.push(text);
    console.log(`VIOLATION ${text}`);
  }

  settled(after: string, ms: number): void {
    this.#settled.push({ after, ms });
    console.log(`${clock(Date.now())} as desired ${ms} ms after ${after}`);
  }

  notMade(kind: string, error: unknown): void {
    this.#notMade.set(kind, (this.#notMade.get(kind) ?? 0) + 1);
    console.log(`${clock(Date.now())} not made: ${kind}: ${String(error).split("\n")[0]}`);
  }

  progress(begin: number): void {
    const { openings, violations } = this.#judge();
    const longest = Math.max(0, ...openings.map(({ from, to }) => to - from));
    const bytes = openings.reduce((sum, opening) => sum + opening.bytes, 0);
    console.log(
      `== ${Math.round((Date.now() - begin) / 60_000)} min: ${this.#faults.length} faults, ` +
        `${this.#traffic.open} connections, ${this.#traffic.probes} probes, ${bytes} denied bytes ` +
        `in ${openings.length} windows, longest ${longest.toFixed(0)} ms, ` +
        `${violations.length + this.#violations.length} violations`,
    );
  }

  #judge() {
    const { passed, cuts } = this.#traffic;
    const { openings, violations } = judgePassed(passed, this.#faults, this.#watcher.reports);
    return { openings, violations: [...violations, ...judgeCuts(cuts, this.#faults)] };
  }

  /** Prints everything; returns whether nothing was wrong. */
  end(begin: number, seed: number): boolean {
    const { openings, violations } = this.#judge();
    const { probes, unsent, cuts, passed } = this.#traffic;
    if (probes === 0) violations.push("no probe was sent");
    const kinds = Map.groupBy(this.#faults, ({ kind }) => kind);
    console.log("\nFAULT                                        MADE");
    for (const [kind, { length }] of [...kinds].sort()) {
      console.log(
        `${kind.padEnd(45)}${String(length - (this.#notMade.get(kind) ?? 0)).padStart(4)}`,
      );
    }
    console.log("\nWINDOW                       MS  FRAMES   BYTES  AFTER");
    for (const { from, to, frames, bytes, away, faults } of openings) {
      const columns = [(to - from).toFixed(0).padStart(6), String(frames).padStart(7)];
      console.log(
        `${clock(from)}-${clock(to)} ${columns.join(" ")} ${String(bytes).padStart(7)}  ` +
          `${faults.join(", ")}${away ? " (agent away)" : ""}`,
      );
    }
    for (const { node, from, to } of judgeSilence(this.#watcher.reports, this.#faults)) {
      violations.push(
        `${clock(from)} ${node} ran and did not answer for ${((to - from) / 1000).toFixed(1)} s`,
      );
    }
    const all = [...this.#violations, ...violations];
    const times = this.#settled.map(({ ms }) => ms).sort((a, b) => a - b);
    const longest = (away: boolean) =>
      Math.max(0, ...openings.filter((o) => o.away === away).map(({ from, to }) => to - from));
    console.log(`
${this.#faults.length} faults in ${((Date.now() - begin) / 60_000).toFixed(1)} min, seed ${seed}
${probes} probes of denied pods (${unsent} could not be sent), ${passed.length} frames passed
longest window ${longest(false).toFixed(0)} ms, with an agent away ${longest(true).toFixed(0)} ms
${this.#traffic.open} long connections; ${cuts.length} were cut and made anew
as desired after ${times[times.length >> 1]} ms (median), ${times.at(-1)} ms (longest)
${this.#watcher.looks} looks at status
${all.length} violations`);
    for (const text of all.slice(0, SHOWN)) console.log(`VIOLATION ${text}`);
    if (violations.length > 0) this.#explain(openings);
    return all.length === 0;
  }

  /** The faults and what status said around the windows. */
  #explain(openings: readonly Opening[]): void {
    for (const { from, to, ways } of openings) {
      console.log(`\nwindow ${clock(from)}-${clock(to)} ${ways.join(", ")}`);
      const near = (begin: number, end: number) =>
        begin <= to + AROUND_MS && end >= from - AROUND_MS;
      for (const { kind, node, from, made } of this.#faults.filter((f) => near(f.from, f.made))) {
        console.log(`  fault  ${clock(from)}-${clock(made)} ${node} ${kind}`);
      }
      for (const { kind, node, from, to, text } of this.#watcher.reports) {
        if (near(from, to)) {
          console.log(`  status ${clock(from)}-${clock(to)} ${node} ${kind} ${text.slice(0, 100)}`);
        }
      }
    }
  }
}

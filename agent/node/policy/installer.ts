/**
 * Policies get numbers by content, and endpoints get numbers only when the kernel has what they
 * stand for. An endpoint whose new policy cannot be installed keeps the one it has.
 */

import type { Timer } from "../../core/timer.ts";
import type { Reconciler } from "../../core/reconciler.ts";
import { Runner } from "../../core/runner.ts";
import { settled } from "../../core/schedule.ts";
import { Table } from "../../core/table.ts";
import { type PolicyRow, policyRow } from "./policy_maps.ts";
import type { ResolvedPolicy } from "./resolve.ts";

/** What an endpoint is to be judged by. */
export interface WantedPolicy {
  /** The endpoint's number. */
  endpoint: number;
  /** Hash of the policy in hexadecimal, 16 digits or more. */
  hash: string;
  policy: ResolvedPolicy;
}

/** What an endpoint is judged by. */
export interface PolicyAssignment {
  endpoint: number;
  /** Number of the policy in the kernel. */
  policy: number;
  /** Changes whenever established connections must be judged again. */
  revision: number;
}

export interface PolicyInstallerOptions {
  wanted: Table<WantedPolicy>;
  policies: Table<PolicyRow>;
  assignments: Table<PolicyAssignment>;
  /** Of `policies`; started after this is constructed, which fills in what the kernel has. */
  reconciler: Reconciler<PolicyRow>;
  /** What the kernel has from an earlier agent. */
  before: { policies: Iterable<PolicyRow>; assignments: Iterable<PolicyAssignment> };
  /** Called when an endpoint keeps its old policy because the new one cannot be installed. */
  onError: (endpoint: number, error: Error) => void;
  /**
   * Milliseconds that an unused policy stays in the kernel.
   *
   * @default {5000}
   */
  graceMs?: number;
}

/** A table of assignments by endpoint. */
export function assignmentTable(): Table<PolicyAssignment> {
  return new Table({ name: "policy-assignments", key: ({ endpoint }) => String(endpoint) });
}

/** See the module. */
export class PolicyInstaller {
  readonly #options: PolicyInstallerOptions;
  readonly #graceMs: number;
  readonly #numbers = new Map<string, number>();
  #next = 1;
  #lastRevision = 0;
  #watch: Disposable | undefined;
  readonly #runner = new Runner("policy-assignments", () => this.#install());
  #timer: Timer | undefined;

  constructor(options: PolicyInstallerOptions) {
    this.#options = options;
    this.#graceMs = options.graceMs ?? 5000;
    for (const row of options.before.policies) {
      this.#numbers.set(row.content, row.number);
      this.#next = Math.max(this.#next, row.number + 1);
      options.policies.set(row);
    }
    for (const row of options.before.assignments) {
      this.#lastRevision = Math.max(this.#lastRevision, row.revision);
      options.assignments.set(row);
    }
  }

  /** Installs what is wanted now and later. Resolves when what is wanted now has been tried. */
  start(): Promise<void> {
    this.#watch = this.#options.wanted.watch(() => this.#runner.request());
    return this.#runner.run();
  }

  async stop(): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    await this.#runner.stop();
    clearTimeout(this.#timer);
  }

  /** Resolves when every endpoint that is wanted now has been given its policy, or has failed to. */
  async settled(): Promise<void> {
    await settled();
    await this.#runner.run();
  }

  /** Has all connections of these endpoints (default: of all) judged again by their next packet. */
  rejudge(endpoints?: Iterable<number>): void {
    const { assignments } = this.#options;
    const revision = this.#revision();
    for (const key of endpoints ? [...endpoints].map(String) : assignments.keys()) {
      const row = assignments.get(key);
      if (row) assignments.set({ ...row, revision });
    }
  }

  /** A number larger than any that an endpoint of this node ever had, across restarts too. */
  #revision(): number {
    const now = Math.floor(Date.now() / 1000);
    return this.#lastRevision = Math.max(this.#lastRevision + 1, now) >>> 0;
  }

  async #install(): Promise<void> {
    const { wanted, policies, assignments, reconciler, onError } = this.#options;
    const rows = wanted.rows();
    const chosen = rows.map(({ endpoint, hash, policy }) => {
      const content = hash.slice(0, 16);
      let number = this.#numbers.get(content);
      if (number === undefined) this.#numbers.set(content, number = this.#next++);
      if (policies.get(String(number))?.policy === undefined) {
        policies.set(policyRow(number, content, policy));
      }
      return { endpoint, number };
    });
    const changed = chosen.filter(({ endpoint, number }) =>
      assignments.get(String(endpoint))?.policy !== number
    );
    if (changed.length > 0) {
      const keys = new Set(changed.map(({ number }) => String(number)));
      let failures: ReadonlyMap<string, string> = new Map();
      try {
        await reconciler.flush(keys);
      } catch (error) {
        failures = (error as { failures?: ReadonlyMap<string, string> }).failures ??
          new Map([...keys].map((key) => [key, String(error)]));
      }
      const revision = this.#revision();
      for (const { endpoint, number } of changed) {
        const reason = failures.get(String(number));
        if (reason === undefined) assignments.set({ endpoint, policy: number, revision });
        else onError(endpoint, new Error(reason));
      }
    }
    for (const { endpoint } of assignments.rows()) {
      if (!wanted.has(String(endpoint))) assignments.delete(String(endpoint));
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#collect(), this.#graceMs);
  }

  /** Drops the policies that no endpoint has. */
  #collect(): void {
    const { policies, assignments, wanted } = this.#options;
    const used = new Set(assignments.rows().map(({ policy }) => policy));
    for (const { hash } of wanted.rows()) {
      const number = this.#numbers.get(hash.slice(0, 16));
      if (number !== undefined) used.add(number);
    }
    for (const [content, number] of this.#numbers) {
      if (used.has(number)) continue;
      this.#numbers.delete(content);
      policies.delete(String(number));
    }
  }
}

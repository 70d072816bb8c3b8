/** What annotations of a Service say about how it is balanced. */

import type { DsrDispatch, LbAlgorithm, LbMode } from "../config.ts";
import type { Service } from "../../kubernetes/resources.ts";
import { BACKEND_STATES, type BackendState } from "./backend.ts";

/** How a service is balanced for clients outside of the cluster. */
export interface Balancing {
  mode: LbMode;
  dispatch: DsrDispatch;
  algorithm: LbAlgorithm;
}

/** What a Service says over the node's own options. */
export interface ServiceSettings extends Balancing {
  /** By address or address:port. */
  states: ReadonlyMap<string, BackendState>;
  /** Likewise, 0 to 100; 1 without one. */
  weights: ReadonlyMap<string, number>;
  /** Kinds of frontends that are wanted; empty: all. */
  kinds: ReadonlySet<string>;
}

const WEIGHT_MAX = 100;

/** States that an operator may give; whether a backend terminates is known from its endpoint. */
const GIVEN_STATES = BACKEND_STATES.filter((state) => state !== "terminating");

/**
 * Reads the annotations `pilus.io/…`, and of Cilium's `service.cilium.io/…` those that have the same
 * meaning. Bad ones are reported, and the default is taken.
 */
export function serviceSettings(
  { metadata: { annotations = {} } }: Service,
  defaults: Balancing,
  report: (message: string) => void,
): ServiceSettings {
  const choice = <T extends string>(
    names: readonly string[],
    values: readonly T[],
    other: T,
  ): T => {
    for (const name of names) {
      const text = annotations[name];
      if (text === undefined) continue;
      if ((values as readonly string[]).includes(text)) return text as T;
      report(`annotation ${name}: ${JSON.stringify(text)} is none of ${values.join(", ")}`);
    }
    return other;
  };
  const map = <T>(name: string, rule: string, valid: (value: unknown) => value is T) => {
    const result = new Map<string, T>();
    const text = annotations[name];
    if (text === undefined) return result;
    let values: unknown;
    try {
      values = JSON.parse(text);
    } catch {
      values = undefined;
    }
    if (typeof values !== "object" || values === null || Array.isArray(values)) {
      report(`annotation ${name}: not a JSON object of ADDRESS or ADDRESS:PORT`);
      return result;
    }
    for (const [key, value] of Object.entries(values)) {
      if (valid(value)) result.set(key, value);
      else report(`annotation ${name}: ${JSON.stringify(value)} of ${key} is not ${rule}`);
    }
    return result;
  };
  return {
    mode: choice(
      ["pilus.io/lb-mode", "service.cilium.io/forwarding-mode"],
      ["snat", "dsr", "hybrid"],
      defaults.mode,
    ),
    dispatch: choice(["pilus.io/dsr-dispatch"], ["ipip", "option"], defaults.dispatch),
    algorithm: choice(
      ["pilus.io/lb-algorithm", "service.cilium.io/lb-algorithm"],
      ["maglev", "random"],
      defaults.algorithm,
    ),
    states: map(
      "pilus.io/backend-states",
      `one of ${GIVEN_STATES.join(", ")}`,
      (value): value is BackendState => (GIVEN_STATES as readonly unknown[]).includes(value),
    ),
    weights: map(
      "pilus.io/backend-weights",
      `a number from 0 to ${WEIGHT_MAX}`,
      (value): value is number =>
        typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= WEIGHT_MAX,
    ),
    kinds: new Set(
      (annotations["service.cilium.io/type"] ?? "").split(",").map((kind) => kind.trim())
        .filter((kind) => kind !== ""),
    ),
  };
}

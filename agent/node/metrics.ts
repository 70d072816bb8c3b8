/** Samples of metrics. The names are Cilium's with the prefix `pilus_`. */

import type { MetricRow } from "../api/metrics_text.ts";

/** Labels of a sample by name. */
export type MetricLabels = Record<string, string>;

/** A value that may go up and down. */
export function gauge(
  name: string,
  help: string,
  value: number,
  labels: MetricLabels = {},
): MetricRow {
  return { name: `pilus_${name}`, type: "gauge", help, labels, value };
}

/** A value that only grows. */
export function counter(
  name: string,
  help: string,
  value: number,
  labels: MetricLabels = {},
): MetricRow {
  return { name: `pilus_${name}`, type: "counter", help, labels, value };
}

/** Metrics as text for Prometheus. Alone, because the command line has no agent in it. */

/** One sample. */
export interface MetricRow {
  name: string;
  type: "counter" | "gauge";
  help: string;
  labels: Record<string, string>;
  value: number;
}

/** Of {@linkcode metricsText}. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4";

/** Exposition format 0.0.4. */
export function metricsText(rows: readonly MetricRow[]): string {
  const lines: string[] = [];
  for (const [name, samples] of Map.groupBy(rows, (row) => row.name)) {
    lines.push(`# HELP ${name} ${samples[0]!.help}`, `# TYPE ${name} ${samples[0]!.type}`);
    for (const { labels, value } of samples) {
      const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escape(text)}"`);
      lines.push(`${name}${pairs.length ? `{${pairs.join(",")}}` : ""} ${value}`);
    }
  }
  return lines.join("\n") + "\n";
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

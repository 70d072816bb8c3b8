/** `pilus metrics` */

import { type MetricRow, metricsText } from "../agent/api/metrics_text.ts";
import { ask } from "./ask.ts";
import { type Invocation, UsageError } from "./command.ts";
import { printRows, write } from "./output.ts";

export async function metrics({ options }: Invocation): Promise<void> {
  if (options.prometheus && options.output !== "table") {
    throw new UsageError("--prometheus is a format of its own; leave --output out");
  }
  const rows = await ask<MetricRow[]>(options, "/v1/metrics");
  if (options.prometheus) return write(metricsText(rows));
  await printRows(options, rows, [
    { title: "METRIC", value: (m) => m.name },
    {
      title: "LABELS",
      value: (m) => Object.entries(m.labels).map(([k, v]) => `${k}=${v}`).join(" "),
    },
    { title: "VALUE", value: (m) => m.value, align: "right" },
  ]);
}

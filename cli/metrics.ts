/** `pilus metrics` */

import type { MetricRow } from "../agent/api/metrics_text.ts";
import { metricsText } from "../agent/api/metrics_text.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { printRows, write } from "./output.ts";

export async function metrics({ options }: Invocation): Promise<void> {
  const rows = await ask<MetricRow[]>(options, "/v1/metrics");
  if (options.prometheus) return write(metricsText(rows));
  printRows(options, rows, [
    { title: "METRIC", value: (m) => m.name },
    {
      title: "LABELS",
      value: (m) => Object.entries(m.labels).map(([k, v]) => `${k}=${v}`).join(" "),
    },
    { title: "VALUE", value: (m) => m.value, align: "right" },
  ]);
}

/** `pilus status` */

import type { StatusView } from "../agent/api/views.ts";
import { AgentUnreachableError } from "../agent/api/client.ts";
import { ask } from "./ask.ts";
import { EXIT, type Invocation, type OptionValues } from "./command.ts";
import { formatTable, printData } from "./output.ts";

/** Exit code 1 when something is wrong. */
export async function status({ options }: Invocation): Promise<number> {
  const view = options.wait === undefined
    ? await ask<StatusView>(options, "/v1/status")
    : await waitForHealth(options, Number(options.wait));
  printData(options, view, statusText);
  return view.health.ok ? EXIT.ok : EXIT.failed;
}

async function waitForHealth(options: OptionValues, seconds: number): Promise<StatusView> {
  const end = Date.now() + seconds * 1000;
  while (true) {
    try {
      const view = await ask<StatusView>(options, "/v1/status");
      if (view.health.ok || Date.now() >= end) return view;
    } catch (error) {
      if (!(error instanceof AgentUnreachableError) || Date.now() >= end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function duration(seconds: number): string {
  const h = Math.floor(seconds / 3600), m = Math.floor(seconds / 60) % 60, s = seconds % 60;
  return h > 0 ? `${h}h${m}m` : m > 0 ? `${m}m${s}s` : `${s}s`;
}

function statusText(s: StatusView): string {
  const lines: [string, string][] = [
    ["Health", s.health.ok ? "ok" : `NOT OK: ${s.health.reason}`],
    [
      "Agent",
      `pilus ${s.version}, pid ${s.pid}, up ${duration(s.uptime)}, ${
        Math.round(s.memory.rss / 1048576)
      } MiB`,
    ],
    ["Node", `${s.node}, pods in ${s.podCidrs.join(" and ")}`],
    ["Source", s.source],
    ["Routing", `${s.routing}${s.masquerade ? ", pods masqueraded outside" : ""}`],
    [
      "Devices",
      s.devices.map((d) =>
        `${d.name} (${[d.ipv4, d.ipv6].filter(Boolean).join(" ")}, MTU ${d.mtu})`
      ).join(", "),
    ],
    ["Addresses", s.addresses.map((a) => `${a.used}/${a.capacity} ${a.family}`).join(", ")],
    ["Endpoints", `${s.endpoints.ready}/${s.endpoints.total} ready`],
    [
      "Known",
      `${s.nodes} nodes, ${s.identities} identities, ${s.services} services, ${s.policies} policies`,
    ],
    ["Events", `${s.events.seen} seen, ${s.events.lost} lost`],
    ...s.features.map((f): [string, string] => [
      f.name[0]!.toUpperCase() + f.name.slice(1),
      f.found + (f.cost ? ` (${f.cost})` : ""),
    ]),
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  const parts = [
    lines.map(([name, text]) => `${(name + ":").padEnd(width + 2)}${text}`).join("\n") + "\n",
  ];
  for (const { source, line, message } of s.problems) {
    parts.push(`Problem: ${source}${line ? `:${line}` : ""}: ${message}\n`);
  }
  for (const m of s.pressure) {
    parts.push(
      `Map ${m.name} is ${
        (100 * m.pressure!).toFixed(0)
      }% full (${m.entries} of ${m.maxEntries})\n`,
    );
  }
  parts.push(
    "\n" + formatTable([
      { title: "RECONCILER", value: (r) => r.name },
      { title: "ROWS", value: (r) => r.rows, align: "right" },
      { title: "PENDING", value: (r) => r.pending, align: "right" },
      { title: "ERRORS", value: (r) => r.errors, align: "right" },
      { title: "REPAIRED", value: (r) => r.repairs, align: "right" },
      { title: "LAST SYNC", value: (r) => r.lastSync?.slice(11, 19) },
      { title: "LAST ERROR", value: (r) => r.lastError?.reason },
    ], s.reconcilers),
  );
  return parts.join("");
}

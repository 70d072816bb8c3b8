/** `pilus status` */

import { bold, green, red, setColorEnabled, yellow } from "@std/fmt/colors";
import { AgentUnreachableError } from "../agent/api/client.ts";
import type { LapseView, StatusView, WatchView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import { EXIT, type Invocation, type OptionValues } from "./command.ts";
import {
  formatFields,
  formatTable,
  hasColor,
  oneLine,
  plural,
  printData,
  TABLE_WIDTH,
  wrap,
} from "./output.ts";

/** Milliseconds between two looks of `--wait`. */
const WAIT_STEP = 100;
/** The newest ones. */
const LAPSES_SHOWN = 8;

/** Exit code 1 when something is wrong. */
export async function status({ options }: Invocation): Promise<number> {
  setColorEnabled(hasColor());
  const view = options.wait === undefined
    ? await ask<StatusView>(options, "/v1/status")
    : await waitForHealth(options, Number(options.wait));
  await printData(options, view, statusText);
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
    await new Promise((resolve) => setTimeout(resolve, WAIT_STEP));
  }
}

function duration(seconds: number): string {
  const d = Math.floor(seconds / 86400), h = Math.floor(seconds / 3600) % 24;
  const m = Math.floor(seconds / 60) % 60, s = seconds % 60;
  return d > 0 ? `${d}d${h}h` : h > 0 ? `${h}h${m}m` : m > 0 ? `${m}m${s}s` : `${s}s`;
}

/** What is wrong, the worst first. */
function troubles(s: StatusView): { grave: boolean; text: string }[] {
  return [
    ...s.health.ok ? [] : [{ grave: true, text: s.health.reason ?? "the agent is not well" }],
    ...s.problems.map(({ source, line, message }) => ({
      grave: false,
      text: `${source}${line ? `:${line}` : ""}: ${message}`,
    })),
    ...s.pressure.map((m) => ({
      grave: false,
      text: `Map ${m.name} is ${Math.floor(100 * (m.pressure ?? 0))}% full ` +
        `(${m.entries} of ${m.maxEntries} rows): make it larger with --map-size`,
    })),
    ...s.shortages.map(({ endpoint, reason, packets, lastAt, remedy }) => ({
      grave: true,
      text: `${endpoint ? `${endpoint}: ` : ""}${reason}: ${plural(packets, "packet")}, last at ${
        lastAt.slice(11, 19)
      }: ${remedy}`,
    })),
    ...s.servicesWithoutTable > 0
      ? [{
        grave: false,
        text:
          `Map pilus_maglev has no room for the tables of ${
            plural(s.servicesWithoutTable, "frontend")
          }, whose backends are chosen at random: make it larger with --map-size, ` +
          "or choose a smaller --maglev-size",
      }]
      : [],
    ...s.events.lost > 0
      ? [{ grave: false, text: `${plural(s.events.lost, "event")} lost: monitor misses them` }]
      : [],
  ];
}

function lapseRows({ rows, count }: LapseView): string {
  const [first = "", ...more] = rows;
  return more.length === 0 ? first : `${first} and ${count - 1} more`;
}

/** How the kinds stand, those that are in sync together. */
function watchesText(watches: readonly WatchView[]): string {
  const { watching = [], absent = [], ...others } = Object.groupBy(watches, ({ state }) => state);
  const parts = [
    `${plural(watching.length, "kind")} in sync`,
    ...absent.length > 0 ? [`${absent.map(({ kind }) => kind).join(", ")} not installed`] : [],
    ...Object.values(others).flat().map(({ kind, state, since }) =>
      `${kind} ${state} since ${since.slice(11, 19)}`
    ),
  ];
  return parts.join(", ");
}

/** The page that people see. */
function statusText(s: StatusView): string {
  const wrong = troubles(s);
  const headline = !s.health.ok
    ? red(bold("NOT OK"))
    : wrong.length > 0
    ? yellow(bold("ok, but see below"))
    : green(bold("ok"));
  const lines = wrong.flatMap(({ grave, text }) => {
    const [first, ...rest] = wrap(oneLine(text), TABLE_WIDTH - 4);
    return [`  ${grave ? red("!") : yellow("-")} ${first}`, ...rest.map((part) => `    ${part}`)];
  });
  const ignored = Object.entries(s.ignoredKinds).sort()
    .map(([kind, count]) => `${count} ${kind}`).join(", ");
  const fields: [string, string][] = [
    [
      "Agent",
      `pilus ${s.version}, pid ${s.pid}, up ${duration(s.uptime)}, ${
        Math.round(s.memory.rss / 1048576)
      } MiB`,
    ],
    ["Source", s.source],
    ...s.watches ? [["API server", watchesText(s.watches)] as [string, string]] : [],
    ["Routing", `${s.routing}${s.masquerade ? ", pods masqueraded" : ""}`],
    [
      "Devices",
      s.devices.map((d) =>
        `${d.name} (${[d.ipv4, d.ipv6].filter(Boolean).join(" ")}, MTU ${d.mtu})`
      ).join(", "),
    ],
    ["XDP", s.xdp.map((x) => `${x.device} ${x.mode} (${x.reason})`).join(", ")],
    ["Sockmap", `${s.sockmap.on ? "on" : "off"} (${s.sockmap.reason})`],
    ["Pods", s.podCidrs.join(" and ")],
    ["Addresses", s.addresses.map((a) => `${a.family} ${a.used} of ${a.capacity}`).join(", ")],
    [
      "Endpoints",
      `${s.endpoints.ready} of ${s.endpoints.total} ready${
        s.endpointsWithoutManifest ? `, ${s.endpointsWithoutManifest} without manifest` : ""
      }`,
    ],
    [
      "Known",
      [
        plural(s.nodes, "node"),
        plural(s.identities, "identity", "identities"),
        plural(s.services, "service"),
        plural(s.policies, "policy", "policies"),
      ].join(", "),
    ],
    ...ignored === "" ? [] : [["Not read", ignored] as [string, string]],
    ["Events", `${s.events.seen} seen, ${s.events.lost} lost`],
    [
      "CNI",
      s.cni ? `configuration in ${s.cni.config}, plugin in ${s.cni.binary}` : "not installed",
    ],
    ["Kernel", s.features.map((f) => `${f.name}: ${f.found}`).join(", ")],
    ...s.features.filter((f) => f.cost).map((f): [string, string] => [`- ${f.name}`, f.cost]),
  ];
  return [
    `${bold(s.node)}: ${headline}\n`,
    lines.map((line) => line + "\n").join(""),
    "\n",
    formatFields(fields),
    "\n",
    formatTable([
      { title: "RECONCILER", value: (r) => r.name },
      { title: "ROWS", value: (r) => r.rows, align: "right" },
      { title: "PENDING", value: (r) => r.pending, align: "right" },
      { title: "ERRORS", value: (r) => r.errors, align: "right" },
      { title: "REPAIRED", value: (r) => r.repairs, align: "right" },
      { title: "LAST SYNC", value: (r) => r.lastSync?.slice(11, 19) },
      {
        title: "LAST ERROR",
        value: (r) => r.lastError && `${r.lastError.at.slice(11, 19)} ${r.lastError.reason}`,
      },
    ], s.reconcilers),
    ...s.lapses.length === 0 ? [] : [
      "\n",
      formatTable([
        { title: "CHANGED BEHIND THE AGENT'S BACK", value: lapseRows },
        { title: "RECONCILER", value: (l) => l.reconciler },
        { title: "RIGHT UNTIL", value: (l) => l.since.slice(11, 23) },
        { title: "AND SINCE", value: (l) => l.until?.slice(11, 23) ?? "not yet" },
      ], s.lapses.slice(-LAPSES_SHOWN)),
    ],
  ].join("");
}

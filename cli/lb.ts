/** `pilus lb list`: the load balancer as the kernel has it. */

import { formatSocketAddress } from "../datapath/net/ip.ts";
import type { SourceRangeView } from "../agent/api/views.ts";
import type {
  BackendUseView,
  KernelBackendView,
  KernelFrontendView,
  KernelTableView,
} from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import { type Invocation, type OptionValues, UsageError } from "./command.ts";
import { printRows } from "./output.ts";

const VIEWS = ["frontends", "backends", "source-ranges", "maglev"] as const;

export async function listBalancer({ options }: Invocation): Promise<void> {
  const wanted = VIEWS.filter((view) => options[view]);
  if (wanted.length > 1) {
    throw new UsageError(`\`lb list\` takes one of ${wanted.map((v) => `--${v}`).join(", ")}`);
  }
  switch (wanted[0]) {
    case "frontends":
      return await listFrontends(options);
    case "backends":
      return await listBackends(options);
    case "source-ranges":
      return await listSourceRanges(options);
    case "maglev":
      return await listTables(options);
    default:
      return await listAll(options);
  }
}

const mark = ({ index, address, port, flags }: KernelBackendView) =>
  `${formatSocketAddress(address, port)} (${index})` +
  (flags.length > 0 ? ` ${flags.join(",")}` : "");

async function listAll(options: OptionValues): Promise<void> {
  const rows = await ask<KernelFrontendView[]>(options, "/v1/lb/frontends");
  const same = (f: KernelFrontendView) => JSON.stringify(f.internal) === JSON.stringify(f.external);
  await printRows(options, rows, [
    { title: "ID", value: (f) => f.id, align: "right" },
    { title: "SERVICE ADDRESS", value: (f) => f.frontend },
    { title: "FLAGS", value: (f) => f.flags.join(",") },
    {
      title: "BACKEND ADDRESS (INDEX)",
      value: (f) => {
        const internal = f.internal.map(mark).join(", ") || "none";
        if (same(f) || !f.flags.includes("external")) return internal;
        return `internal ${internal}; external ${f.external.map(mark).join(", ") || "none"}`;
      },
    },
  ], "No services in the kernel");
}

async function listFrontends(options: OptionValues): Promise<void> {
  await printRows(options, await ask<KernelFrontendView[]>(options, "/v1/lb/frontends"), [
    { title: "SERVICE ADDRESS", value: (f) => f.frontend },
    { title: "ID", value: (f) => f.id, align: "right" },
    { title: "FLAGS", value: (f) => f.flags.join(",") },
    { title: "AFFINITY", value: (f) => f.affinityS ? `${f.affinityS}s` : "-", align: "right" },
    { title: "INTERNAL", value: (f) => f.internal.length, align: "right" },
    { title: "EXTERNAL", value: (f) => f.external.length, align: "right" },
    { title: "MAGLEV", value: (f) => f.tables.external || "-", align: "right" },
  ], "No services in the kernel");
}

async function listBackends(options: OptionValues): Promise<void> {
  await printRows(options, await ask<BackendUseView[]>(options, "/v1/lb/backends"), [
    { title: "BACKEND ADDRESS", value: (b) => formatSocketAddress(b.address, b.port) },
    { title: "FLAGS", value: (b) => b.flags.join(",") },
    { title: "HITS", value: (b) => b.hits, align: "right" },
    { title: "SERVICES", value: (b) => b.services.join(", ") },
  ], "No backends in the kernel");
}

async function listSourceRanges(options: OptionValues): Promise<void> {
  await printRows(options, await ask<SourceRangeView[]>(options, "/v1/lb/source-ranges"), [
    { title: "SOURCE RANGE", value: (r) => r.prefix },
    { title: "ID", value: (r) => r.service, align: "right" },
  ], "No source ranges");
}

async function listTables(options: OptionValues): Promise<void> {
  await printRows(options, await ask<KernelTableView[]>(options, "/v1/lb/maglev"), [
    { title: "TABLE", value: (t) => t.table, align: "right" },
    { title: "ID", value: (t) => t.services.join(",") },
    { title: "SLOTS", value: (t) => t.slots, align: "right" },
    { title: "MOVED", value: (t) => t.moved, align: "right" },
    { title: "YOUNG", value: (t) => t.young, align: "right" },
    { title: "ASK", value: (t) => t.ask, align: "right" },
    {
      title: "SHARES",
      value: (t) =>
        t.shares.map(({ backend, share }) => `${backend} ${(100 * share).toFixed(1)}%`).join(", "),
    },
  ], "No Maglev tables: every choice is random");
}

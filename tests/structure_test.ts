/** The house keeps its shape: imports go down only, and no files import each other in a circle. */

import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";

const ROOT = fromFileUrl(new URL("../", import.meta.url));

/** Rooms by folder, and the rooms each may import besides itself. The longest matching folder is the room. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  "datapath": [],
  "agent/core": [],
  "agent/kubernetes": ["agent/core"],
  "agent/flows": ["agent/core"],
  "agent/grpc": ["agent/core"],
  "agent/hubble": ["agent/core", "agent/flows", "agent/grpc"],
  "agent/relay": ["agent/core", "agent/grpc", "agent/hubble"],
  "agent/cluster": ["agent/core", "agent/kubernetes", "agent/flows"],
  "agent/sources": ["agent/core", "agent/kubernetes", "agent/flows", "agent/cluster"],
  "agent/sources/kernel": ["agent/core", "datapath"],
  "agent/api": ["agent/core", "agent/kubernetes", "agent/flows", "agent/cluster"],
  "agent/node": [
    ...["agent/core", "agent/kubernetes", "agent/flows", "agent/cluster"],
    ...["agent/sources", "agent/sources/kernel", "agent/api", "agent/grpc", "agent/hubble"],
    "datapath",
  ],
  "agent/operator": ["agent/core", "agent/kubernetes", "agent/cluster"],
  "cli": [
    ...["agent/core", "agent/flows", "agent/grpc", "agent/hubble", "agent/relay", "agent/api"],
    ...["agent/node", "agent/operator", "cli/cni", "cli/lab"],
  ],
  "cli/cni": ["agent/core", "agent/api"],
  "cli/lab": ["agent/core", "agent/api", "agent/node", "datapath"],
  "main.ts": ["cli", "cli/cni", "datapath"],
};

/** Addresses have one form everywhere. */
const SHARED = "datapath/net/ip.ts";

const ROOMS = Object.keys(MAY_IMPORT).sort((a, b) => b.length - a.length);

function roomOf(file: string): string | undefined {
  return ROOMS.find((room) => file === room || file.startsWith(`${room}/`));
}

/** The imports of each product file, dynamic ones included, by path within the project. */
async function importGraph(): Promise<Map<string, string[]>> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--no-lock", `${ROOT}main.ts`],
    stdout: "piped",
    stderr: "null",
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: {
      specifier: string;
      dependencies?: { code?: { specifier?: string }; type?: { specifier?: string } }[];
    }[];
  };
  const path = (specifier: string | undefined) =>
    specifier?.startsWith("file:") && fromFileUrl(specifier).startsWith(ROOT)
      ? fromFileUrl(specifier).slice(ROOT.length)
      : undefined;
  const graph = new Map<string, string[]>();
  for (const { specifier, dependencies = [] } of modules) {
    const file = path(specifier);
    if (file === undefined) continue;
    const imported = dependencies.flatMap(({ code, type }) => [code?.specifier, type?.specifier])
      .map(path).filter((found) => found !== undefined);
    graph.set(file, [...new Set(imported)].sort());
  }
  return graph;
}

Deno.test("imports go down only: each room imports those below it", async () => {
  const wrong: string[] = [];
  for (const [file, imports] of await importGraph()) {
    const room = roomOf(file);
    if (room === undefined && !file.endsWith(".d.ts")) wrong.push(`${file} stands in no room`);
    for (const imported of imports) {
      const target = roomOf(imported);
      if (room === undefined || target === undefined || room === target) continue;
      if (imported === SHARED) continue;
      if (!MAY_IMPORT[room]!.includes(target)) wrong.push(`${file} -> ${imported}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("no files import each other in a circle", async () => {
  const graph = await importGraph();
  const done = new Set<string>();
  const way: string[] = [];
  const circles: string[] = [];
  const visit = (file: string) => {
    const at = way.indexOf(file);
    if (at >= 0) circles.push([...way.slice(at), file].join(" -> "));
    if (at >= 0 || done.has(file)) return;
    way.push(file);
    for (const imported of graph.get(file) ?? []) visit(imported);
    way.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  assertEquals(circles, []);
});

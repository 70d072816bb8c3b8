/**
 * The build: bpf/*.bpf.c -> dist/bpf/*.bpf.o -> datapath/maps/generated.ts, cli/cni/plugin/ ->
 * dist/plugin/pilus, and all of it -> dist/pilus. Each step runs only when the contents of its
 * inputs changed.
 *
 * `deno compile` would embed all of node_modules and the sources; compiling a bundle from an empty
 * folder keeps the program small and its start fast.
 */

import { compilePlugin } from "./compile_plugin.ts";
import { formatted } from "../datapath/bpf/generate/formatted.ts";
import { compileAll, compileShared, generate, GENERATED } from "./generate_codecs.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const DIST = `${ROOT}dist`;
const CACHE = Deno.env.get("BUILD_CACHE") ?? `${Deno.env.get("HOME")}/.cache/pilus`;
/** What compiles: `deno`, and `denort` unless it takes the official one; see setup.sh. */
const COMPILER = `${CACHE}/compiler`;
/** A denort of the Deno that runs this, in place of the compiler. */
const DENORT_BIN = Deno.env.get("DENORT_BIN");
const BUNDLER = `${CACHE}/bundler/node_modules`;
const LIBRARIES = ["libbpf.so.1", "libelf.so.1", "libz.so.1"];

/** Runs `work` when the inputs differ from those of the last successful run, or `output` is gone. */
async function step(
  name: string,
  inputs: string[],
  output: string,
  work: () => void,
): Promise<void> {
  const stamp = `${DIST}/.${name}`;
  if (exists(output) && readText(stamp) === await digest(inputs)) return;
  work();
  Deno.writeTextFileSync(stamp, await digest(inputs)); // afterwards: the generated code is an input
}

async function digest(inputs: string[]): Promise<string> {
  const files = inputs.flatMap((path) => [...walk(path)]).sort();
  const lines: string[] = [];
  for (const file of files) {
    const hash = await crypto.subtle.digest("SHA-256", Deno.readFileSync(file));
    lines.push(`${file} ${hex(hash)}`);
  }
  return hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(lines.join("\n"))));
}

function* walk(path: string): Generator<string> {
  if (!exists(path)) return;
  if (!Deno.statSync(path).isDirectory) {
    yield path;
    return;
  }
  for (const { name } of Deno.readDirSync(path)) {
    if (!name.endsWith("_test.ts") && name !== "testdata") yield* walk(`${path}/${name}`);
  }
}

function buildObjects(): void {
  Deno.mkdirSync(`${DIST}/bpf`, { recursive: true });
  const objects = compileAll();
  for (const [name, bytes] of objects) Deno.writeFileSync(`${DIST}/bpf/${name}.bpf.o`, bytes);
  for (const { name } of Deno.readDirSync(`${DIST}/bpf`)) {
    if (!objects.has(name.slice(0, -".bpf.o".length))) Deno.removeSync(`${DIST}/bpf/${name}`);
  }
  const text = formatted(generate(objects.values(), compileShared()));
  if (readText(GENERATED) !== text) {
    Deno.writeTextFileSync(GENERATED, text);
    console.log("build: datapath/maps/generated.ts changed; commit it");
  }
}

function buildPlugin(): void {
  Deno.mkdirSync(`${DIST}/plugin`, { recursive: true });
  compilePlugin(`${ROOT}cli/cni/plugin/plugin.c`, `${DIST}/plugin/pilus`);
}

function buildProgram(): void {
  const folder = Deno.makeTempDirSync({ prefix: "pilus-build-" });
  try {
    run(`${BUNDLER}/.bin/esbuild`, [
      `${ROOT}main.ts`,
      `${ROOT}agent/sources/files/parse_worker.ts`,
      "--entry-names=[name]",
      "--bundle",
      "--splitting",
      "--format=esm",
      "--platform=neutral",
      "--main-fields=module,main",
      "--target=es2024",
      "--external:node:*",
      "--log-level=warning",
      `--outdir=${folder}`,
      ...aliases(),
    ], { NODE_PATH: BUNDLER });
    copyFolder(`${DIST}/bpf`, `${folder}/bpf`);
    copyFolder(`${DIST}/plugin`, `${folder}/plugin`);
    copyFolder(`${ROOT}examples`, `${folder}/examples`);
    Deno.mkdirSync(`${folder}/lib`);
    for (const name of LIBRARIES) Deno.copyFileSync(findLibrary(name), `${folder}/lib/${name}`);
    const denort = DENORT_BIN ?? `${COMPILER}/denort`;
    run(
      DENORT_BIN === undefined ? `${COMPILER}/deno` : Deno.execPath(),
      [
        ...[
          "compile",
          "--quiet",
          "--no-config",
          "--no-check",
          "--no-code-cache",
          "-A",
          // while an agent starts, what it allocates stays; `keepMemorySmall` collects afterwards
          "--v8-flags=--expose-gc,--heap-growing-percent=25,--initial-old-space-size=256",
        ],
        ...[
          "--include",
          "bpf",
          "--include",
          "plugin",
          "--include",
          "lib",
          "--include",
          "examples",
          "--include",
          "parse_worker.js",
          "--output",
          `${DIST}/pilus.new`,
          "main.js",
        ],
      ],
      exists(denort) ? { DENORT_BIN: denort } : {},
      folder,
    );
    Deno.renameSync(`${DIST}/pilus.new`, `${DIST}/pilus`); // a running one keeps its file
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** deno.json's `npm:package@version/path` imports, where the bundler finds them. */
function aliases(): string[] {
  const { imports } = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)) as {
    imports: Record<string, string>;
  };
  return Object.entries(imports).map(([name, target]) => {
    const match = /^npm:((?:@[^/]+\/)?[^@]+)@[^/]+(\/.*)?$/.exec(target);
    if (!match) throw new Error(`deno.json: cannot bundle import ${name} from ${target}`);
    return `--alias:${name}=${match[1]}${match[2] ?? ""}`;
  });
}

function findLibrary(name: string): string {
  const arch = Deno.build.arch;
  for (const folder of [`/usr/lib/${arch}-linux-gnu`, `/lib/${arch}-linux-gnu`, "/usr/lib64"]) {
    if (exists(`${folder}/${name}`)) return Deno.realPathSync(`${folder}/${name}`);
  }
  throw new Error(`Cannot find ${name}: run scripts/setup.sh`);
}

function run(program: string, args: string[], env: Record<string, string>, cwd?: string): void {
  const { success } = new Deno.Command(program, {
    args,
    env,
    ...(cwd ? { cwd } : {}),
    stdout: "inherit",
    stderr: "inherit",
  }).outputSync();
  if (!success) throw new Error(`${program} failed`);
}

function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to);
  for (const { name } of Deno.readDirSync(from)) {
    Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

function readText(path: string): string | undefined {
  return exists(path) ? Deno.readTextFileSync(path) : undefined;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function hex(buffer: ArrayBuffer): string {
  return [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

Deno.mkdirSync(DIST, { recursive: true });
await step(
  "objects",
  [`${ROOT}bpf`, `${ROOT}scripts/compile_bpf.ts`, `${ROOT}scripts/generate_codecs.ts`, GENERATED],
  `${DIST}/bpf`,
  buildObjects,
);
await step(
  "plugin",
  [`${ROOT}cli/cni/plugin`, `${ROOT}agent/api`, `${ROOT}scripts/compile_plugin.ts`],
  `${DIST}/plugin/pilus`,
  buildPlugin,
);
const sources = [
  "main.ts",
  "cli",
  "agent",
  "datapath",
  "examples",
  "deno.json",
  "deno.lock",
  "scripts/build.ts",
];
await step(
  "program",
  [
    ...sources.map((path) => `${ROOT}${path}`),
    `${DIST}/bpf`,
    `${DIST}/plugin`,
    DENORT_BIN ?? `${COMPILER}/of`,
  ],
  `${DIST}/pilus`,
  buildProgram,
);

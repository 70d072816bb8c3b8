/** What is published works by itself: outside of this repository, from source and compiled. */

import { assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { exists } from "./exists.ts";
import { compile } from "./testdata/build.ts";

const FOLDER = fromFileUrl(new URL(".", import.meta.url));
const CACHE = Deno.env.get("BUILD_CACHE") ?? `${Deno.env.get("HOME")}/.cache/pilus`;
const LIBRARIES = ["libz.so.1", "libelf.so.1", "libbpf.so.1"];
const SYSTEM = `/usr/lib/${Deno.build.arch}-linux-gnu`;

/** Imported before the library, as it is loaded then. */
const CHOICE = `
import { useLibbpf } from "./ebpf/libbpf.ts";
const [choice] = Deno.args;
const names = ${JSON.stringify(LIBRARIES)};
if (choice === "path") useLibbpf("${SYSTEM}/libbpf.so.1");
if (choice === "embedded") useLibbpf(names.map((name) => new URL(name, import.meta.url)));
`;

const PROGRAM = `
import "./choice.ts";
import { BpfObject } from "./ebpf/mod.ts";
using object = BpfObject.open(Deno.readFileSync(new URL("./sample.bpf.o", import.meta.url)));
object.setAutoload(["tc_verdict"]);
object.setConstants({ verdict: 7 });
object.load();
using program = object.program("tc_verdict");
console.log(program.testRun({ data: new Uint8Array(60) }).retval);
console.log(/memfd:library/.test(Deno.readTextFileSync("/proc/self/maps")));
`;

async function output(program: string, args: string[], cwd = FOLDER): Promise<string> {
  const env: Record<string, string> = { NO_COLOR: "1" };
  const denort = `${CACHE}/compiler/denort`;
  if (args[0] === "compile" && exists(denort)) env.DENORT_BIN = denort;
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd, env }).output();
  const [said, complained] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${said}${complained}`);
  return said! + complained!;
}

/** A project of a user: the published files as `ebpf/`, a program and its object. */
async function project(): Promise<string> {
  const dry = await output(Deno.execPath(), ["publish", "--dry-run", "--allow-dirty"]);
  const files = [...dry.matchAll(/file:\/\/(\S+) \(/g)].map(([, path]) => path!);
  const directory = Deno.makeTempDirSync({ prefix: "bpf-package-" });
  for (const file of files) {
    const target = `${directory}/ebpf/${file.slice(FOLDER.length)}`;
    Deno.mkdirSync(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    Deno.copyFileSync(file, target);
  }
  Deno.writeTextFileSync(`${directory}/choice.ts`, CHOICE);
  Deno.writeTextFileSync(`${directory}/main.ts`, PROGRAM);
  Deno.writeFileSync(`${directory}/sample.bpf.o`, compile("sample"));
  for (const name of LIBRARIES) {
    Deno.copyFileSync(Deno.realPathSync(`${SYSTEM}/${name}`), `${directory}/${name}`);
  }
  return directory;
}

/** The Deno that runs this, and those that are installed beside it. */
const others = [...Deno.readDirSync(CACHE)].filter(({ name }) => name.startsWith("deno-"))
  .map(({ name }) => Deno.realPathSync(`${CACHE}/${name}/deno`));
const denos = [...new Set([Deno.execPath(), ...others])];
const compiler = `${CACHE}/compiler/deno`;

Deno.test("the published files work by themselves", async (t) => {
  const directory = await project();
  try {
    const programs: string[][] = [];
    for (const deno of denos) {
      await t.step(`${deno} checks them`, async () => {
        await output(deno, ["check", "--no-config", "main.ts", "ebpf/generate.ts"], directory);
      });
      programs.push([deno, "run", "-A", "--no-check", "main.ts"]);
    }
    if (exists(compiler)) {
      const included = [...LIBRARIES, "sample.bpf.o"].flatMap((name) => ["--include", name]);
      const args = ["compile", "--no-check", "-A", ...included, "--output", "program", "main.ts"];
      await output(compiler, args, directory);
      programs.push([`${directory}/program`]);
    }
    for (const [program, ...args] of programs) {
      for (const choice of ["name", "path", "embedded"]) {
        await t.step(`${program} ${args.join(" ")} with libbpf by ${choice}`, async () => {
          const said = await output(program!, [...args, choice], directory);
          assertEquals(said, `7\n${choice === "embedded"}\n`);
        });
      }
    }
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("it can be published, is documented, and what the documents show is correct", async () => {
  const { exports } = JSON.parse(Deno.readTextFileSync(`${FOLDER}deno.json`));
  const modules = Object.values(exports) as string[];
  const deno = Deno.execPath();
  const [dry, lint] = await Promise.all([
    output(deno, ["publish", "--dry-run", "--allow-dirty"]),
    output(deno, ["doc", "--lint", ...modules]),
    output(deno, ["check", "--doc", ...modules]),
    output(deno, ["check", "--doc-only", "README.md"]),
  ]);
  assertMatch(dry, /Success/);
  assertEquals(/[Ww]arning/.test(dry), false, dry);
  assertMatch(lint, /Checked \d+ files/);
});

/**
 * Makes a TypeScript class of an object file: typed maps, variables, programs and their attach functions,
 * with the object inside.
 *
 * Usage: deno run -A generate.ts [--output=FILE.ts] [--name=NAME] [--library=SPECIFIER] [--check] FILE.bpf.o|FILE.bpf.c
 *
 * `--check` writes nothing and exits 1 when the output is not what it would write. C is compiled with clang.
 */

import { parseArgs } from "@std/cli/parse-args";
import { basename, dirname, relative, resolve } from "@std/path";
import { Btf } from "./btf.ts";
import { objectModule } from "./generate/object_class.ts";
import { BpfObject } from "./object.ts";

/** Options for {@linkcode generateObject}. */
export interface GenerateOptions {
  /** What the class is called after. @default {"object"} */
  name?: string;
  /** How the module imports this library. */
  library: string;
}

/** The module for an object, formatted. Throws KernelError when the file is no object, RangeError without BTF. */
export function generateObject(
  file: Uint8Array,
  { name = "object", library }: GenerateOptions,
): string {
  using object = BpfObject.open(file, { name });
  if (object.btf.types.length === 1) {
    throw new RangeError(`Object ${name} has no BTF: compile it with -g`);
  }
  const programs = new Map(object.programNames.map((one) => [one, object.section(one)]));
  const btf = Btf.fromElf(file);
  return formatted(objectModule({ name, file, btf, programs, library }));
}

/** The text as `deno fmt` has it. */
export function formatted(text: string): string {
  const path = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    Deno.writeTextFileSync(path, text);
    const args = ["fmt", "--quiet", "--no-config", "--line-width=100", path];
    const { success, stderr } = new Deno.Command(Deno.execPath(), { args }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return Deno.readTextFileSync(path);
  } finally {
    Deno.removeSync(path);
  }
}

/** Compiles C with the first clang that there is. Throws Error with its messages. */
function compileC(path: string): Uint8Array {
  const directory = Deno.makeTempDirSync();
  try {
    const object = `${directory}/object.o`;
    const include = `/usr/include/${Deno.build.arch}-linux-gnu`;
    const args = ["-target", "bpf", "-O2", "-g", "-isystem", include, "-c", path, "-o", object];
    for (const clang of ["clang", "clang-19"]) {
      try {
        const { success, stderr } = new Deno.Command(clang, { args }).outputSync();
        if (!success) throw new Error(new TextDecoder().decode(stderr));
        return Deno.readFileSync(object);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    throw new Error("No clang is installed (Debian: apt install clang libbpf-dev)");
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function main(argv: string[]): number {
  let unknown: string | undefined;
  const { _: paths, check, ...texts } = parseArgs(argv, {
    string: ["output", "name", "library"],
    boolean: ["check"],
    unknown: (argument) => {
      if (argument.startsWith("-")) unknown ??= argument;
    },
  });
  const { output, name, library } = texts as Record<string, string | undefined>;
  const [path] = paths.map(String);
  if (path === undefined || paths.length > 1 || unknown !== undefined) {
    if (unknown !== undefined) console.error(`Unknown option ${unknown}`);
    console.error(
      "Usage: generate.ts [--output=FILE.ts] [--name=NAME] [--library=SPECIFIER] [--check] FILE.bpf.o|FILE.bpf.c",
    );
    return 2;
  }
  const file = path.endsWith(".c") ? compileC(path) : Deno.readFileSync(path);
  const stem = path.replace(/(\.bpf)?\.[oc]$/, "");
  const target = output ?? `${stem}.ts`;
  const module = new URL("./mod.ts", import.meta.url);
  const beside = relative(dirname(resolve(target)), module.pathname);
  const text = generateObject(file, {
    name: name ?? basename(stem),
    library: library ??
      (module.protocol === "file:" ? beside.startsWith(".") ? beside : `./${beside}` : module.href),
  });
  const known = exists(target) ? Deno.readTextFileSync(target) : undefined;
  if (check && known !== text) {
    console.error(`${target} is not what ${path} says; run this without --check`);
    return 1;
  }
  if (!check && known !== text) Deno.writeTextFileSync(target, text);
  return 0;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

if (import.meta.main) Deno.exit(main(Deno.args));

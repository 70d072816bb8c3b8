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
import { exists } from "./exists.ts";
import { compileC } from "./generate/clang.ts";
import { formatted } from "./generate/formatted.ts";
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

if (import.meta.main) Deno.exit(main(Deno.args));

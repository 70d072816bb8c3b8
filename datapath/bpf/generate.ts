/**
 * Makes a TypeScript class of an object file: typed maps, variables, programs and their attach functions,
 * with the object inside.
 *
 * Usage: deno run -A generate.ts [--output=FILE.ts] [--name=NAME] [--library=SPECIFIER] [--check] FILE.bpf.o|FILE.bpf.c
 *
 * `--check` writes nothing and exits 1 when the output is not what it would write. C is compiled with clang.
 */

import { basename, dirname, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Btf } from "./btf.ts";
import { exists } from "./exists.ts";
import { compileC } from "./generate/clang.ts";
import { formatted } from "./generate/formatted.ts";
import { GENERATED, objectModule } from "./generate/object_class.ts";
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

const USAGE =
  "Usage: generate.ts [--output=FILE.ts] [--name=NAME] [--library=SPECIFIER] [--check] " +
  "FILE.bpf.o|FILE.bpf.c";

/** What the command line says. Throws TypeError. */
function parsed(args: string[]) {
  const options = {
    output: { type: "string" },
    name: { type: "string" },
    library: { type: "string" },
    check: { type: "boolean" },
  } as const;
  const { values, positionals: [path, ...rest] } = parseArgs({
    args,
    options,
    allowPositionals: true,
  });
  if (path === undefined || rest.length > 0) throw new TypeError("Name one object or C file");
  return { ...values, path };
}

function main(args: string[]): number {
  let options: ReturnType<typeof parsed>;
  try {
    options = parsed(args);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message.split(". ")[0]}\n${USAGE}`);
    return 2;
  }
  const { path, output, name, library, check } = options;
  const file = path.endsWith(".c") ? compileC(path) : Deno.readFileSync(path);
  const stem = path.replace(/(\.bpf)?\.[oc]$/, "");
  const target = output ?? `${stem}.bpf.ts`;
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
  if (!check && known !== undefined && !known.startsWith(GENERATED)) {
    console.error(`${target} is there and was not generated; name another file by --output`);
    return 1;
  }
  if (!check && known !== text) Deno.writeTextFileSync(target, text);
  return 0;
}

if (import.meta.main) Deno.exit(main(Deno.args));

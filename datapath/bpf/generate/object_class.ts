/** A class for an object file: its maps, variables and programs by name, with their types. */

import type { Btf } from "../btf.ts";
import { constantName, MapType } from "../constants.ts";
import { CodeModule } from "./code_module.ts";
import { pascal } from "./shapes.ts";

/** What a generated module is made of. */
export interface ObjectSource {
  /** The object's name, "count": the class is called after it. */
  name: string;
  /** The file's bytes, which the module contains. */
  file: Uint8Array;
  btf: Btf;
  /** Programs by name, with their sections. */
  programs: ReadonlyMap<string, string>;
  /** How the module imports this library. */
  library: string;
}

/** Functions that attach to a place that is known at run time, by the beginning of a section. */
const PLACES: readonly [section: RegExp, attach: string, options: string, result: string][] = [
  [/^xdp/, "attachXdp", "AttachXdpOptions", "Attachment"],
  [/^(tc|tcx|classifier)(\/|$)/, "attachTc", "AttachTcOptions", "Attachment"],
  [/^netkit/, "attachNetkit", "AttachNetkitOptions", "BpfLink"],
  [/^(cgroup|sockops|cgroup_skb)/, "attachCgroup", "AttachCgroupOptions", "BpfLink"],
  [/^netfilter/, "attachNetfilter", "AttachNetfilterOptions", "BpfLink"],
  [/^(uprobe|uretprobe)(\.s)?$/, "attachUprobe", "AttachUprobeOptions", "BpfLink"],
  [/^(kprobe|kretprobe)$/, "attachKprobe", "AttachKprobeOptions", "BpfLink"],
  [/^perf_event/, "attachPerfEvent", "AttachPerfEventOptions", "BpfLink"],
];

/** Sections that say where to attach. */
const NAMED =
  /^((k|u)(ret)?probe|tracepoint|tp|raw_tp|raw_tracepoint|tp_btf|fentry|fexit|fmod_ret|lsm|freplace|iter)(\.\w+)?\/|^(sk_lookup|flow_dissector)/;

/** How each module begins. */
export const GENERATED = "// Generated from";

/** What the module may import, besides options of attach functions. */
const OF_LIBRARY =
  "BpfObject BpfProgram BpfLink BpfMap Attachment OpenOptions TypedMap TypedVariable RingBuffer"
    .split(" ");

/** The text of the module, not yet formatted. */
export function objectModule({ name, file, btf, programs, library }: ObjectSource): string {
  const className = pascal(name.replace(/\W+/g, "_"));
  const code = new CodeModule({ taken: [className, ...OF_LIBRARY] });
  const used = new Set(["BpfObject", "type BpfProgram", "type OpenOptions"]);
  const maps = btf.maps().map((map) => mapText(btf, map, code, used));
  // what is static in a function has a name that C cannot say
  const variables = ["data", "bss", "rodata"].flatMap((section) => btf.variables(`.${section}`))
    .filter(({ name }) => /^\w+$/.test(name))
    .map(({ name, type }) => {
      used.add("type TypedVariable");
      const codec = code.codec(btf, type), value = code.shape(btf, type).type;
      return `    ${name}: (): TypedVariable<${value}> => this.object.variable("${name}").typed(${codec}),`;
    });
  const attach = [...programs].flatMap(([program, section]) => attachText(program, section, used));
  for (const enumeration of btf.types) {
    if (enumeration.kind === "enum" && enumeration.name && enumeration.values.length > 0) {
      code.enum(btf, enumeration.name, enumeration.values);
    }
  }
  const text = `${code.declarations.join("\n\n")}

/** ${name}.bpf.o: its maps and programs when it is loaded, its variables before, too. */
export class ${className} implements Disposable {
  readonly object: BpfObject;

  private constructor(object: BpfObject) {
    this.object = object;
  }

  /** Opens the object that this module contains. Nothing reaches the kernel before \`load()\`. */
  static open(options: OpenOptions = {}): ${className} {
    const file = Uint8Array.from(atob(FILE), (letter) => letter.charCodeAt(0));
    return new ${className}(BpfObject.open(file, { name: "${name}", ...options }));
  }

  /** As BpfObject.load. */
  load(): this {
    this.object.load();
    return this;
  }

  /** Maps; the caller disposes of them. */
  readonly maps = {
${maps.join("\n")}
  };

  /** Global variables. */
  readonly variables = {
${variables.join("\n")}
  };

  /** Programs; the caller disposes of them. */
  readonly programs = {
${
    [...programs.keys()].map((program) =>
      `    ${program}: (): BpfProgram => this.object.program("${program}"),`
    ).join("\n")
  }
  };

  /** Attaches a program; the caller disposes of the link. */
  readonly attach = {
${attach.join("\n")}
  };

  [Symbol.dispose](): void {
    this.object[Symbol.dispose]();
  }
}

const FILE =
${base64Lines(file)};
`;
  const codecs = code.imports;
  if (text.includes("Codec<")) codecs.push("type Codec");
  const imports = [...new Set([...used, ...codecs])].sort(byName);
  return `${GENERATED} ${name}.bpf.o by generate.ts of @pilus/ebpf; do not edit.
import { ${imports.join(", ")} } from ${JSON.stringify(library)};

${text}`;
}

function byName(a: string, b: string): number {
  const [left, right] = [a, b].map((name) => name.replace("type ", ""));
  return left! < right! ? -1 : 1;
}

function mapText(
  btf: Btf,
  map: ReturnType<Btf["maps"]>[number],
  code: CodeModule,
  used: Set<string>,
): string {
  const { name } = map, type = constantName(MapType, map.type);
  if (type === "RINGBUF") {
    used.add("RingBuffer");
    return `    ${name}: (): RingBuffer => new RingBuffer(this.object.map("${name}")),`;
  }
  if (map.key === undefined || map.value === undefined) {
    used.add("type BpfMap");
    return `    ${name}: (): BpfMap => this.object.map("${name}"),`;
  }
  const perCpu = type.includes("PERCPU");
  used.add("TypedMap");
  if (perCpu) used.add("perCpu");
  const key = code.shape(btf, map.key).type, value = code.shape(btf, map.value).type;
  const stored = code.codec(btf, map.value);
  return `    ${name}: (): TypedMap<${key}, ${value}${
    perCpu ? "[]" : ""
  }> => new TypedMap(this.object.map("${name}"), {
      key: ${code.codec(btf, map.key)},
      value: ${perCpu ? `perCpu(${stored})` : stored},
    }),`;
}

function attachText(program: string, section: string, used: Set<string>): string[] {
  if (NAMED.test(section)) {
    used.add("type BpfLink");
    return [`    ${program}: (): BpfLink => this.object.attach("${program}"),`];
  }
  const place = PLACES.find(([pattern]) => pattern.test(section));
  if (!place) return [];
  const [, attach, options, result] = place;
  used.add(attach).add(`type ${options}`).add(`type ${result}`);
  return [`    ${program}: (options: ${options}): ${result} => {
      using program = this.object.program("${program}");
      return ${attach}(program, options);
    },`];
}

function base64Lines(file: Uint8Array): string {
  let binary = "";
  for (const byte of file) binary += String.fromCharCode(byte);
  const lines = btoa(binary).match(/.{1,90}/g) ?? [];
  return lines.map((line) => `  "${line}"`).join(" +\n");
}

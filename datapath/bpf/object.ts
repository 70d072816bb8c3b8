/** An object file of eBPF programs and maps on its way into the kernel. */

import { ERRNO, KernelError } from "./kernel_error.ts";
import { dupFd, errno } from "./ffi/libc.ts";
import { cstring } from "./ffi/memory.ts";
import { LibbpfLog, withLibbpfLog } from "./ffi/libbpf_log.ts";
import { libbpf, pointers, readCstring } from "./ffi/libbpf.ts";
import type { Btf } from "./btf.ts";
import type { BtfValue } from "./btf_value.ts";
import { bpfError, checkBpf } from "./errors.ts";
import type { BpfLink } from "./link/link.ts";
import { registerTable, wantLink } from "./link/struct_ops.ts";
import { type AttachUsdtOptions, UsdtLink, usdtLink } from "./link/usdt.ts";
import { BpfMap } from "./map.ts";
import { layoutDifferences, type MapLayout } from "./map_layout.ts";
import { LoadLogs, logOf, openHint } from "./load_logs.ts";
import { openMemory, typesOf } from "./open_memory.ts";
import { makePinDirectory, tryOpenPinFd } from "./pin.ts";
import { BpfProgram } from "./program.ts";
import { attachBySection, laterSection } from "./sections.ts";
import { BpfVariable, initialMemory, loadedMemory, type SectionMemory } from "./variable.ts";

/** A value for a variable, or its bytes. */
export type VariableValue = BtfValue | Uint8Array;

/** Options for BpfObject.open. */
export interface OpenOptions {
  /** How errors and the kernel call it. @default {the path's last part without suffix, or "object"} */
  name?: string;
}

/**
 * An opened object file. Set what should differ from the file, `load()`, then take programs and maps.
 * Programs and maps that were taken live on when the object is disposed.
 */
export class BpfObject implements Disposable {
  /** How errors and the kernel call it. */
  readonly name: string;
  /** The object's types; void alone when it was compiled without `-g`. */
  readonly btf: Btf;
  #object: Deno.PointerValue;
  #maps = new Map<string, Deno.PointerObject>();
  #programs = new Map<string, Deno.PointerObject>();
  #loaded = false;
  /** Of the sections whose variables are in use, while it is loaded. */
  readonly #memories = new Map<string, SectionMemory>();
  /** They are made of what the object has. */
  readonly #usdtLinks = new Set<UsdtLink>();
  /** Another thread has the object: it is closed after that. */
  #loading = false;
  // libbpf keeps pointers into it
  #file: Uint8Array<ArrayBuffer>;

  private constructor(file: Uint8Array<ArrayBuffer>, name: string) {
    this.name = name;
    this.#file = file;
    let code = 0;
    const { result, warnings } = withLibbpfLog(() => {
      const object = openMemory(file, name);
      if (object === null) code = errno();
      return object;
    });
    this.#object = result;
    if (result === null) {
      const hint = openHint(code);
      throw bpfError(code, "open object", name, { ...hint ? { hint } : {}, ...logOf(warnings) });
    }
    try {
      this.btf = typesOf(this.#object);
      this.#findParts();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #findParts(): void {
    for (const map of pointers(libbpf.bpf_object__next_map, this.#object)) {
      this.#maps.set(readCstring(libbpf.bpf_map__name(map)), map);
      wantLink(map);
      libbpf.bpf_map__set_pin_path(map, null); // pinned where pinMaps() says, not in libbpf's default
    }
    for (const program of pointers(libbpf.bpf_object__next_program, this.#object)) {
      this.#programs.set(readCstring(libbpf.bpf_program__name(program)), program);
      if (libbpf.bpf_program__type(program) !== 0) continue;
      const section = readCstring(libbpf.bpf_program__section_name(program));
      const known = laterSection(section);
      if (!known) continue;
      libbpf.bpf_program__set_type(program, known.type);
      libbpf.bpf_program__set_expected_attach_type(program, known.attachType);
    }
  }

  /** Opens an ELF file, given as its path or its bytes. Nothing reaches the kernel before `load()`. */
  static open(
    source: string | Uint8Array,
    { name }: OpenOptions = {},
  ): BpfObject {
    const file = typeof source === "string"
      ? Deno.readFileSync(source)
      : new Uint8Array(source) as Uint8Array<ArrayBuffer>;
    const fromPath = typeof source === "string"
      ? source.slice(source.lastIndexOf("/") + 1).replace(/(\.bpf)?\.o$/, "")
      : "object";
    return new BpfObject(file, name ?? fromPath);
  }

  /** Names of the programs in the file. */
  get programNames(): string[] {
    return [...this.#programs.keys()];
  }

  /** Names of the maps in the file, those of its sections (".rodata") among them. */
  get mapNames(): string[] {
    return [...this.#maps.keys()];
  }

  /** Names of the global variables, of each section. */
  get variableNames(): string[] {
    return this.#variables().map(({ name }) => name);
  }

  /**
   * A global variable: before the object is loaded what it begins with, from then on what its programs
   * have. Throws RangeError for an unknown name.
   */
  variable(name: string): BpfVariable {
    const variables = this.#variables(), found = variables.find((one) => one.name === name);
    if (found) return new BpfVariable(this.btf, found, () => this.#memoryOf(found.section));
    const others = variables.map((one) => one.name).join(", ");
    throw new RangeError(
      `Object ${this.name} has no variable ${name}; it has ` +
        (others || (this.btf.types.length > 1 ? "none" : "no BTF: compile it with -g")),
    );
  }

  #variables() {
    return ["data", "bss", "rodata"].flatMap((section) => this.btf.variables(`.${section}`));
  }

  /** Before the object is loaded the section's first contents, then its map's. */
  #memoryOf(section: string): SectionMemory {
    if (this.#object === null) {
      throw new TypeError(`Cannot use a variable of object ${this.name}: disposed`);
    }
    if (!this.#loaded) return initialMemory(() => this.#sectionMemory(section));
    const known = this.#memories.get(section);
    if (known) return known;
    const memory = loadedMemory(this.map(section));
    this.#memories.set(section, memory);
    return memory;
  }

  /** Sets `volatile const` variables by name before the object is loaded. Throws as `BpfVariable.set` does. */
  setConstants(values: Record<string, VariableValue>): void {
    this.#requireState(false, "set constants of");
    for (const [name, value] of Object.entries(values)) {
      const variable = this.variable(name);
      if (value instanceof Uint8Array) variable.setBytes(value);
      else variable.set(value);
    }
  }

  /** Overrides a map's number of entries. */
  setMaxEntries(map: string, maxEntries: number): void {
    this.#requireState(false, "resize a map of");
    const result = libbpf.bpf_map__set_max_entries(this.#mapPointer(map), maxEntries);
    checkBpf(result, "set max entries of map", map);
  }

  /**
   * Pins maps as `directory/<map name>` when the object is loaded; a map that is already pinned
   * there is used instead of a new one, so that programs of several objects and processes share it.
   * The directory is made when it is missing. Returns whether all of them are pinned there already.
   * @param maps names; by default those declared with `__uint(pinning, LIBBPF_PIN_BY_NAME)`
   * @throws KernelError EINVAL when a pinned map has another layout, with each difference named
   */
  pinMaps(directory: string, maps: string[] = this.#declaredPins()): boolean {
    makePinDirectory(directory);
    const known = maps.map((name) => this.pinMap(name, `${directory}/${name}`));
    return known.every((there) => there);
  }

  /** As `pinMaps` for one map and a path of its own. Returns whether it is pinned there already. */
  pinMap(name: string, path: string): boolean {
    this.#requireState(false, "pin a map of");
    const map = this.#mapPointer(name);
    const fd = tryOpenPinFd(path, "map");
    if (fd !== undefined) {
      using pinned = new BpfMap(fd, name);
      this.#requireLayout(name, pinned, path);
    }
    checkBpf(libbpf.bpf_map__set_pin_path(map, cstring(path)), "set the pin path of map", name);
    return fd !== undefined;
  }

  /** Uses `existing` instead of a new map. Throws KernelError EINVAL when its layout is another. */
  reuseMap(name: string, existing: BpfMap): void {
    this.#requireState(false, "reuse a map of");
    this.#requireLayout(name, existing, `map ${existing.id}`);
    const result = libbpf.bpf_map__reuse_fd(this.#mapPointer(name), existing.fd);
    checkBpf(result, "reuse map", name);
  }

  /** What the file says of a map, with what was set since. */
  mapLayout(name: string): MapLayout {
    const map = this.#mapPointer(name);
    return {
      type: libbpf.bpf_map__type(map),
      keySize: libbpf.bpf_map__key_size(map),
      valueSize: libbpf.bpf_map__value_size(map),
      maxEntries: libbpf.bpf_map__max_entries(map),
      flags: libbpf.bpf_map__map_flags(map),
    };
  }

  /** Loads only the named programs. Throws RangeError for an unknown name. */
  setAutoload(programs: string[]): void {
    this.#requireState(false, "choose programs of");
    for (const name of programs) this.#programPointer(name);
    for (const [name, program] of this.#programs) {
      const result = libbpf.bpf_program__set_autoload(program, programs.includes(name));
      checkBpf(result, "choose program", name);
    }
  }

  /**
   * Says which function a program with fentry, fexit, fmod_ret or freplace is for, in place of what its
   * section says: of the kernel, or of `target`.
   */
  setAttachTarget(program: string, functionName: string, target?: BpfProgram): void {
    this.#requireState(false, "choose a target in");
    const result = libbpf.bpf_program__set_attach_target(
      this.#programPointer(program),
      target?.fd ?? 0,
      cstring(functionName),
    );
    checkBpf(result, `choose function ${functionName} for program`, program);
  }

  /**
   * Creates the maps and loads the programs. Throws KernelError, for a rejected program with the
   * last lines of the verifier's log. After an error the object can only be disposed.
   */
  load(): this {
    using logs = this.#prepareLogs();
    const { result, warnings } = withLibbpfLog(() => libbpf.bpf_object__load(this.#object));
    if (result < 0) throw logs.error(result, warnings);
    return this;
  }

  /**
   * As `load`, without stopping this thread while the kernel verifies. Throws TypeError when the object
   * was disposed meanwhile; what was loaded is gone then.
   */
  async loadElsewhere(): Promise<this> {
    using logs = this.#prepareLogs();
    const object = this.#object;
    const log = new LibbpfLog();
    this.#loading = true;
    const result = await libbpf.load_elsewhere(object);
    this.#loading = false;
    log[Symbol.dispose]();
    if (this.#object === null) {
      libbpf.bpf_object__close(object);
      throw new TypeError(`Cannot load object ${this.name}: disposed meanwhile`);
    }
    if (result < 0) throw logs.error(result, log.lines);
    return this;
  }

  /** What the verifier will say of each program that is loaded. */
  #prepareLogs(): LoadLogs {
    this.#requireState(false, "load");
    this.#loaded = true;
    const chosen = [...this.#programs].filter(([, one]) => libbpf.bpf_program__autoload(one));
    return new LoadLogs(this.name, new Map(chosen));
  }

  /** The section of a program: what it is for. Throws RangeError for an unknown name. */
  section(program: string): string {
    return readCstring(libbpf.bpf_program__section_name(this.#programPointer(program)));
  }

  /** A loaded program; the caller disposes it. Throws RangeError for an unknown or unloaded name. */
  program(name: string): BpfProgram {
    const program = this.#programPointer(name);
    const fd = this.#loaded ? libbpf.bpf_program__fd(program) : -1;
    if (fd < 0) throw new RangeError(`Program ${name} of object ${this.name} is not loaded`);
    return new BpfProgram(dupFd(fd), name, libbpf.bpf_program__expected_attach_type(program));
  }

  /**
   * Attaches a loaded program to what its section names, as `kprobe/do_unlinkat` or `tp_btf/sched_switch`.
   * Throws RangeError when it names no place, KernelError.
   */
  attach(name: string): BpfLink {
    using program = this.program(name);
    return attachBySection(program, this.section(name));
  }

  /**
   * Registers a table of functions, section `.struct_ops`, for as long as the link lives (Linux 6.4).
   * Throws KernelError, TypeError for another map.
   */
  attachStructOps(map: string): BpfLink {
    const pointer = this.#mapPointer(map);
    if (!this.#loaded) {
      throw new TypeError(`Cannot register ${map}: object ${this.name} is not loaded`);
    }
    return registerTable(pointer, map);
  }

  /**
   * Attaches a loaded program, section `usdt`, to a probe that a program has built in; the object must
   * include usdt.bpf.h. Throws KernelError.
   */
  attachUsdt(program: string, options: AttachUsdtOptions): UsdtLink {
    using _loaded = this.program(program);
    const pointer = usdtLink(this.#programPointer(program), program, options);
    const link = new UsdtLink(pointer, (one) => this.#usdtLinks.delete(one));
    this.#usdtLinks.add(link);
    return link;
  }

  /** A map of the loaded object; the caller disposes it. Throws RangeError for an unknown name. */
  map(name: string): BpfMap {
    const map = this.#mapPointer(name);
    const fd = this.#loaded ? libbpf.bpf_map__fd(map) : -1;
    if (fd < 0) throw new RangeError(`Map ${name} of object ${this.name} is not loaded`);
    return new BpfMap(dupFd(fd), name);
  }

  /** Closes it. What was taken of it lives on, but its variables. */
  [Symbol.dispose](): void {
    if (this.#object === null) return;
    for (const link of this.#usdtLinks) link.detach();
    if (!this.#loading) libbpf.bpf_object__close(this.#object);
    this.#object = null;
    for (const memory of this.#memories.values()) memory[Symbol.dispose]();
    this.#memories.clear();
    this.#maps.clear();
    this.#programs.clear();
  }

  #declaredPins(): string[] {
    return this.btf.maps().filter((map) => map.pinned).map((map) => map.name);
  }

  #sectionMemory(section: string): Uint8Array {
    const map = libbpf.bpf_object__find_map_by_name(this.#object, cstring(section));
    const size = new BigUint64Array(1);
    const pointer = map === null ? null : libbpf.bpf_map__initial_value(map, size);
    if (pointer === null) {
      throw bpfError(ERRNO.ENOENT, `find section ${section} of object`, this.name);
    }
    return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, Number(size[0]!)));
  }

  #requireLayout(name: string, actual: MapLayout, where: string): void {
    const expected = this.mapLayout(name);
    const differences = layoutDifferences(actual, expected);
    if (differences.length === 0) return;
    throw new KernelError({
      operation: `reuse for map ${name}`,
      target: where,
      errno: ERRNO.EINVAL,
      hint: `${differences.join("; ")}; remove the pin, or give the new layout another name`,
    });
  }

  #requireState(loaded: boolean, verb: string): void {
    if (this.#object === null) throw new TypeError(`Cannot ${verb} object ${this.name}: disposed`);
    if (this.#loaded !== loaded) {
      throw new TypeError(`Cannot ${verb} object ${this.name}: it is already loaded`);
    }
  }

  #mapPointer(name: string): Deno.PointerObject {
    // a section's map has the object's name before the section's
    const map = this.#maps.get(name) ??
      (name.startsWith(".")
        ? libbpf.bpf_object__find_map_by_name(this.#object, cstring(name))
        : undefined);
    if (map) return map;
    throw new RangeError(
      `Object ${this.name} has no map ${name}; it has ${this.mapNames.join(", ")}`,
    );
  }

  #programPointer(name: string): Deno.PointerObject {
    const program = this.#programs.get(name);
    if (program) return program;
    throw new RangeError(
      `Object ${this.name} has no program ${name}; it has ${this.programNames.join(", ")}`,
    );
  }
}

/** The bpffs that pins are on, mounted again when it was unmounted, and pins of maps kept. */

import { BpfMap, isBpffs, isPinned, makePinDirectory, requireBpffs } from "./bpf/mod.ts";
import { pinFd } from "./bpf/pin.ts";
import { mount } from "./bpf/ffi/libc.ts";

/** A directory of ours on a bpffs, and where that is mounted. */
export class Bpffs {
  readonly #directories: readonly string[];
  readonly #mountPoint: string;

  /** `directories` exist and are on one bpffs. */
  constructor(directories: readonly string[]) {
    this.#directories = directories;
    this.#mountPoint = mountPointOf(directories[0]!);
  }

  /** Whether the directories are there. */
  intact(): boolean {
    return this.#directories.every((directory) => isBpffs(directory));
  }

  /** Mounts the file system if it is not mounted and makes the directories. Throws KernelError. */
  restore(): void {
    if (this.intact()) return;
    if (!isBpffs(this.#mountPoint)) mount("bpf", this.#mountPoint, "bpf", 0);
    for (const directory of this.#directories) makePinDirectory(directory);
  }
}

/**
 * Mounts a bpffs where there is none: it was not mounted yet, or was unmounted while no agent ran.
 * Returns whether it did. Throws KernelError: the directory is not there, or holds other things.
 */
export function ensureBpffs(directory: string): boolean {
  if (isBpffs(directory)) return false;
  if (!isEmptyDirectory(directory)) requireBpffs(directory);
  mount("bpf", directory, "bpf", 0);
  return true;
}

function isEmptyDirectory(path: string): boolean {
  try {
    return Deno.readDirSync(path)[Symbol.iterator]().next().done === true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    throw error;
  }
}

function mountPointOf(directory: string): string {
  let point = directory;
  while (point.lastIndexOf("/") > 0) {
    const parent = point.slice(0, point.lastIndexOf("/"));
    if (!isBpffs(parent)) break;
    point = parent;
  }
  return point;
}

/** The maps pinned in a directory, held by descriptor. */
export class HeldMaps implements Disposable {
  readonly #directory: string;
  readonly #maps = new Map<string, BpfMap>();

  constructor(directory: string) {
    this.#directory = directory;
    for (const { name } of Deno.readDirSync(directory)) {
      this.#maps.set(name, BpfMap.openPinned(`${directory}/${name}`, name));
    }
  }

  names(): string[] {
    return [...this.#maps.keys()];
  }

  isPinned(name: string): boolean {
    return isPinned(`${this.#directory}/${name}`);
  }

  /** Throws KernelError. */
  pin(name: string): void {
    pinFd(this.#maps.get(name)!.fd, `${this.#directory}/${name}`);
  }

  [Symbol.dispose](): void {
    for (const map of this.#maps.values()) map[Symbol.dispose]();
    this.#maps.clear();
  }
}

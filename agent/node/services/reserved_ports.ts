/**
 * Ports of the node that services have, as `net.ipv4.ip_local_reserved_ports`: the kernel then gives
 * them to no socket that asks for any port. Ports that others have put there stay there; which ones
 * are ours is kept in the run directory, which lasts as long as the sysctl does.
 */

import { join } from "@std/path";
import { readSysctl, writeSysctls } from "../../../datapath/net/netns.ts";
import { readBounded } from "../../core/bounded_file.ts";
import { type Derivation, derive } from "../../core/derive.ts";
import type { Target } from "../../core/reconciler.ts";
import { type ReadonlyTable, Table } from "../../core/table.ts";
import { writeWhole } from "../../core/whole_file.ts";
import type { Frontend } from "./frontend.ts";

const SYSCTL = "ipv4/ip_local_reserved_ports";

/** The file in the run directory. */
export const RESERVED_PORTS = "reserved-ports";

/** All ports in ranges of two have fewer characters. */
const MAX_BYTES = 65_536 * 6;

/** "80,1000-1002" as the kernel has it; throws RangeError for anything else. */
export function parsePorts(text: string): Set<number> {
  const ports = new Set<number>();
  for (const part of text.trim().split(",").filter((part) => part !== "")) {
    const [, from, to = from] = part.match(/^(\d+)(?:-(\d+))?$/) ?? [];
    const first = Number(from), last = Number(to);
    if (!(first <= last && last <= 65_535)) {
      throw new RangeError(`Not a range of ports: ${JSON.stringify(part)}`);
    }
    for (let port = first; port <= last; port++) ports.add(port);
  }
  return ports;
}

/** The inverse of {@linkcode parsePorts}. */
export function formatPorts(ports: Iterable<number>): string {
  const ranges: [number, number][] = [];
  for (const port of [...ports].sort((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range && range[1] === port - 1) range[1] = port;
    else ranges.push([port, port]);
  }
  return ranges.map(([first, last]) => first === last ? `${first}` : `${first}-${last}`).join(",");
}

/** A port to reserve. */
export interface ReservedPort {
  port: number;
}

/** The range of node ports, and the ports that frontends have at all addresses of the node. */
export function deriveReservedPorts(
  frontends: Table<Frontend>,
  [first, last]: readonly [number, number],
): { reserved: Table<ReservedPort>; derivation: Derivation } {
  const reserved = new Table<ReservedPort>({
    name: "reserved-ports",
    key: ({ port }) => String(port),
  });
  const derivation = derive([frontends], () => {
    const ports = new Set<number>();
    for (let port = first; port <= last; port++) ports.add(port);
    for (const { kind, port } of frontends.rows()) if (kind === "Reserved") ports.add(port);
    return [...ports].map((port) => ({ port }));
  }, reserved);
  return { reserved, derivation };
}

/** The sysctl, and the file that says which of its ports are ours. */
export class ReservedPorts implements Target<ReservedPort> {
  readonly #path: string;
  readonly #desired: ReadonlyTable<ReservedPort>;

  constructor(runDir: string, desired: ReadonlyTable<ReservedPort>) {
    this.#path = join(runDir, RESERVED_PORTS);
    this.#desired = desired;
  }

  /** Ports of the kernel that are ours, or are desired and somebody else's. */
  *read(): Iterable<ReservedPort> {
    const ours = this.#ours();
    for (const port of kernelPorts()) {
      if (ours.has(port) || this.#desired.has(String(port))) yield { port };
    }
  }

  apply(upserts: readonly ReservedPort[], deletes: readonly ReservedPort[]): { failed: [] } {
    const kernel = kernelPorts(), ours = this.#ours();
    for (const { port } of upserts) {
      if (!kernel.has(port)) ours.add(port);
      kernel.add(port);
    }
    // first the file: what is not noted as ours stays for ever
    writeWhole(this.#path, formatPorts(ours), { mode: 0o600 });
    for (const { port } of deletes) if (ours.delete(port)) kernel.delete(port);
    writeSysctls([[SYSCTL, formatPorts(kernel)]]);
    writeWhole(this.#path, formatPorts(ours), { mode: 0o600 });
    return { failed: [] };
  }

  #ours(): Set<number> {
    return reservedByUs(this.#path);
  }
}

/** The ports that the file says are ours; none when it is not there or spoilt. */
function reservedByUs(path: string): Set<number> {
  try {
    return parsePorts(readBounded(path, { maxBytes: MAX_BYTES, followLinks: false }));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof RangeError) return new Set();
    throw error;
  }
}

function kernelPorts(): Set<number> {
  return parsePorts(readSysctl(SYSCTL, MAX_BYTES) ?? "");
}

/** Those of ours that the kernel has, and what takes them away; undefined: there are none. */
export function reservation(runDir: string): { ports: string; release(): void } | undefined {
  const path = join(runDir, RESERVED_PORTS);
  const ours = reservedByUs(path).intersection(kernelPorts());
  if (ours.size === 0) return undefined;
  return {
    ports: formatPorts(ours),
    release: () => writeSysctls([[SYSCTL, formatPorts(kernelPorts().difference(ours))]]),
  };
}

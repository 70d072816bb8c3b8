/** The pinned maps of the programs, opened with their codecs. */

import { BpfMap, isErrno, type MapDescriptor, TypedMap } from "../bpf/mod.ts";
import { maps } from "./generated.ts";

type Descriptors = typeof maps;

type OpenMaps = {
  [Name in keyof Descriptors]: Descriptors[Name] extends MapDescriptor<infer K, infer V>
    ? TypedMap<K, V>
    : never;
};

/** Those of the sockmap, which are there when it is loaded. */
type SockmapMap = "pilus_sockets" | "pilus_socket_refs" | "pilus_namespaces";
const SOCKMAP_MAPS: readonly string[] = [
  "pilus_sockets",
  "pilus_socket_refs",
  "pilus_namespaces",
] satisfies SockmapMap[];

/** Every map of the programs by name, and the ring buffer of events. */
export type PilusMaps =
  & Omit<OpenMaps, SockmapMap>
  & Partial<Pick<OpenMaps, SockmapMap>>
  & { pilus_events: BpfMap }
  & Disposable;

/** Opens what the loader has pinned in `directory`. Throws KernelError ENOENT when one is missing. */
export function openMaps(directory: string): PilusMaps {
  const open: Record<string, Disposable> = {};
  try {
    for (const descriptor of Object.values(maps) as MapDescriptor<unknown, unknown>[]) {
      const { name } = descriptor;
      try {
        open[name] = TypedMap.openPinned(`${directory}/${name}`, descriptor);
      } catch (error) {
        if (!isErrno(error, "ENOENT") || !SOCKMAP_MAPS.includes(name)) throw error;
      }
    }
    open.pilus_events = BpfMap.openPinned(`${directory}/pilus_events`, "pilus_events");
  } catch (error) {
    for (const map of Object.values(open)) map[Symbol.dispose]();
    throw error;
  }
  return Object.assign(open, {
    [Symbol.dispose]() {
      for (const map of Object.values(open)) map[Symbol.dispose]();
    },
  }) as unknown as PilusMaps;
}

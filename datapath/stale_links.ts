/**
 * Links of an earlier agent that this one has no pin of: the bpffs that was unmounted here may live on in
 * another mount namespace, as that of a container, and keeps them. Their programs would go on to decide, by
 * maps that nobody writes any more.
 */

import {
  BpfLink,
  BpfMap,
  BpfProgram,
  isErrno,
  kernelIds,
  type LinkType,
  programsAt,
} from "./bpf/mod.ts";

/** What programs of any agent use, and nobody else's do. */
const MAP_PREFIX = "pilus_";

/** A hook: a device of the calling thread's network namespace, or a cgroup. */
export type Hook =
  | { linkType: typeof LinkType.TCX | typeof LinkType.XDP; ifindex: number }
  | { linkType: typeof LinkType.CGROUP; cgroupId: bigint };

/** Takes such links off the hook, of these programs there but `own`. Returns how many. Throws KernelError. */
export function detachStale(hook: Hook, programs: readonly number[], own: number): number {
  const stale = programs.filter((id) => id !== own && isOfAgent(id));
  if (stale.length === 0) return 0;
  let detached = 0;
  for (const id of kernelIds("link")) {
    const link = ifThere(() => BpfLink.byId(id));
    if (!link) continue;
    using _link = link;
    const info = link.info();
    if (info.linkType !== hook.linkType || !stale.includes(info.programId)) continue;
    const there = "ifindex" in hook
      ? info.ifindex === hook.ifindex
      : info.cgroupId === hook.cgroupId;
    if (!there) continue;
    link.detach();
    detached++;
  }
  return detached;
}

/** The same for a hook whose programs the kernel lists: `target` is an ifindex or the descriptor of a cgroup. */
export function detachStaleAt(
  hook: Hook,
  target: number,
  attachType: number,
  own: number,
): number {
  return detachStale(hook, programsAt(target, attachType), own);
}

/** Whether the program uses maps of an agent. */
function isOfAgent(id: number): boolean {
  using program = ifThere(() => BpfProgram.byId(id));
  return program?.mapIds().some((map) => {
    using opened = ifThere(() => BpfMap.byId(map));
    return opened?.name.startsWith(MAP_PREFIX) ?? false;
  }) ?? false;
}

/** Undefined for what has gone meanwhile. */
function ifThere<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** The node's cgroup hierarchy. */

/** Throws Error when the directory is no cgroup of the v2 hierarchy. */
export function checkCgroup(directory: string): void {
  try {
    // each cgroup of v2 has it, and none of v1
    Deno.statSync(`${directory}/cgroup.controllers`);
  } catch (cause) {
    throw new Error(
      `Cannot use --cgroup ${directory}: it is no cgroup v2: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** The directory of the cgroup v2 hierarchy, as mounted. Throws Error that names the fix. */
export function findCgroup(): string {
  for (const line of Deno.readTextFileSync("/proc/self/mounts").split("\n")) {
    const [, path, type] = line.split(" ");
    if (type === "cgroup2" && path) return path;
  }
  throw new Error(
    "Cannot find a cgroup v2 hierarchy: mount one with `mount -t cgroup2 none /sys/fs/cgroup`",
  );
}

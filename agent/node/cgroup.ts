/** The node's cgroup hierarchy. */

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

/** The end of a lab. All of it can be found by its directory, so that what a killed process left is removed too. */

import { findCgroup } from "../../agent/node/cgroup.ts";
import { fileInfo } from "../../agent/core/missing_files.ts";
import { delay } from "./host.ts";
import { umount } from "../../datapath/bpf/ffi/libc.ts";

const MNT_DETACH = 2;

/** The cgroup of the lab in `directory`. */
export function cgroupOf(directory: string): string {
  return `${findCgroup()}/${directory.slice(directory.lastIndexOf("/") + 1)}`;
}

/** Ends all processes of the lab in `directory` and removes everything that it made. */
export async function tearDownLab(directory: string): Promise<void> {
  const cgroup = cgroupOf(directory);
  if (fileInfo(cgroup)) await removeCgroup(cgroup);
  for (const path of mountsUnder(directory).reverse()) umount(path, MNT_DETACH);
  if (fileInfo(directory)) Deno.removeSync(directory, { recursive: true });
}

async function removeCgroup(cgroup: string): Promise<void> {
  Deno.writeTextFileSync(`${cgroup}/cgroup.kill`, "1");
  while (Deno.readTextFileSync(`${cgroup}/cgroup.events`).includes("populated 1")) await delay(5);
  for (const entry of Deno.readDirSync(cgroup)) {
    if (entry.isDirectory) Deno.removeSync(`${cgroup}/${entry.name}`);
  }
  Deno.removeSync(cgroup);
}

function mountsUnder(directory: string): string[] {
  return Deno.readTextFileSync("/proc/self/mounts").split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${directory}/`));
}

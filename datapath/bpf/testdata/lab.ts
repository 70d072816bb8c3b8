/** Throw-away surroundings for tests: a bpffs, a veth pair and a cgroup, all gone when disposed. */

import { mount, umount } from "../ffi/libc.ts";

export interface Temporary extends Disposable {
  readonly path: string;
}

/** A bpffs of its own in a fresh directory. */
export function temporaryBpffs(): Temporary {
  const path = Deno.makeTempDirSync({ prefix: "bpffs-" });
  mount("bpf", path, "bpf", 0);
  return {
    path,
    [Symbol.dispose]() {
      umount(path);
      Deno.removeSync(path);
    },
  };
}

export interface Veth extends Disposable {
  readonly name: string;
  readonly ifindex: number;
}

let veths = 0;

/** A veth pair that is up, without addresses. */
export function temporaryVeth(): Veth {
  const name = `bt${Deno.pid}x${veths++}`;
  ip("link", "add", name, "type", "veth", "peer", "name", `${name}p`);
  ip("link", "set", name, "up");
  ip("link", "set", `${name}p`, "up");
  return {
    name,
    ifindex: Number(Deno.readTextFileSync(`/sys/class/net/${name}/ifindex`)),
    [Symbol.dispose]: () => ip("link", "delete", name),
  };
}

/** An empty cgroup v2. */
export function temporaryCgroup(): Temporary {
  const root = Deno.readTextFileSync("/proc/self/mounts").split("\n")
    .map((line) => line.split(" ")).find((fields) => fields[2] === "cgroup2")?.[1];
  if (!root) throw new Error("No cgroup v2 is mounted");
  const path = Deno.makeTempDirSync({ dir: root, prefix: "bpf-test-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path) };
}

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args }).outputSync();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

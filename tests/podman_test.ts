/** A runtime from before CNI 1.0 on one host: podman's containers by the configuration that the agent wrote. */

import { assertEquals, assertMatch } from "@std/assert";
import { type LabNode, OUTSIDE } from "../cli/lab/lab.ts";
import { withLab } from "./lab/test_lab.ts";

/** Lets the agent see the namespaces that podman binds there in a mount namespace of its own. */
async function shareNamespaces(node: LabNode): Promise<AsyncDisposable> {
  const directory = "/run/netns";
  if (new RegExp(` ${directory} .* shared:`).test(Deno.readTextFileSync("/proc/self/mountinfo"))) {
    return new AsyncDisposableStack();
  }
  Deno.mkdirSync(directory, { recursive: true });
  await node.exec(["mount", "--bind", directory, directory]);
  await node.exec(["mount", "--make-shared", directory]);
  return { [Symbol.asyncDispose]: async () => void await node.exec(["umount", directory]) };
}

/** Runs podman on the node, with one hierarchy of control groups, which its runtime asks for. */
function podman(node: LabNode, ...words: string[]) {
  const { directory } = node;
  Deno.writeTextFileSync(
    `${directory}/containers.conf`,
    `[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_backend = "cni"
cni_plugin_dirs = ["${directory}/bin"]
network_config_dir = "${directory}/net.d"
`,
  );
  const script = `mount --make-rprivate /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
exec podman "$@"`;
  const storage = [
    ...["--root", `${directory}/podman`, "--runroot", `${directory}/podman-run`],
    ...["--storage-driver", "vfs"],
  ];
  return node.exec([
    ...["unshare", "--mount", "--propagation", "unchanged", "sh", "-ec", script, "podman"],
    ...storage,
    ...words,
  ], { env: { CONTAINERS_CONF: `${directory}/containers.conf` } });
}

Deno.test("podman's containers have the agent's network", async () => {
  await withLab({ nodes: 1 }, async ({ a }) => {
    await using _ = await shareNamespaces(a);
    const look = `cat /sys/class/net/eth0/operstate; ping -c1 -W2 ${OUTSIDE.ipv4}`;
    // names with underscores, as podman makes them up itself
    const { code, stdout, stderr } = await podman(
      a,
      ...["run", "--rm", "--name", "a_container", "--network", "pilus"],
      ...["--rootfs", "/:O", "sh", "-c", look],
    );
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /^up\n[^]*1 received/);
    assertEquals((await a.status()).endpoints.total, 0);
  });
});

import { assertRejects } from "@std/assert";
import { mount, umount } from "../../datapath/bpf/ffi/libc.ts";
import { createNamespace, deleteNamespace } from "../../datapath/net/netns.ts";
import { lockNode, type NodeLockOptions } from "./node_lock.ts";

Deno.test("lockNode() refuses an agent that shares anything with another", async () => {
  const root = Deno.makeTempDirSync({ prefix: "pilus-lock-" });
  const mounted = `${root}/bpf`;
  Deno.mkdirSync(mounted);
  mount("bpf", mounted, "bpf", 0);
  const namespaces = ["first", "second"].map((name) => `${root}/${name}`);
  namespaces.forEach(createNamespace);
  const placesOf = (name: string): Required<NodeLockOptions> => ({
    patienceMs: 0,
    bpffs: `${mounted}/${name}`,
    stateDir: `${root}/${name}-state`,
    runDir: `${root}/${name}-run`,
    netns: `${root}/${name}`,
  });
  const first = placesOf("first"), second = placesOf("second");
  try {
    const held = await lockNode(first);
    (await lockNode(second))[Symbol.dispose]();
    for (const name of ["bpffs", "stateDir", "runDir", "netns"] as const) {
      const what = name === "netns" ? "this network namespace" : first[name];
      await assertRejects(
        () => lockNode({ ...second, [name]: first[name] }),
        Error,
        `Cannot use ${what}: another agent does; stop it first`,
      );
    }
    held[Symbol.dispose]();
    (await lockNode(first))[Symbol.dispose]();
  } finally {
    namespaces.forEach(deleteNamespace);
    umount(mounted);
    Deno.removeSync(root, { recursive: true });
  }
});

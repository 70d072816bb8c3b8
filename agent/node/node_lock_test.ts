import { assertRejects } from "@std/assert";
import { mount, umount } from "../../datapath/ffi/libc.ts";
import { lockNode } from "./node_lock.ts";

Deno.test("lockNode() refuses an agent that shares one of two directories with another", async () => {
  const root = Deno.makeTempDirSync({ prefix: "pilus-lock-" });
  const mounted = `${root}/bpf`, bpffs = `${mounted}/pilus`;
  Deno.mkdirSync(mounted);
  mount("bpf", mounted, "bpf", 0);
  try {
    const first = await lockNode({ bpffs, stateDir: `${root}/a` });
    for (const other of [{ bpffs, stateDir: `${root}/b` }, { bpffs, stateDir: `${root}/a` }]) {
      await assertRejects(() => lockNode(other), Error, "another agent does; stop it first");
    }
    first[Symbol.dispose]();
    (await lockNode({ bpffs, stateDir: `${root}/a` }))[Symbol.dispose]();
  } finally {
    umount(mounted);
    Deno.removeSync(root, { recursive: true });
  }
});

import { assert, assertEquals, assertMatch } from "@std/assert";
import { attachCgroup, AttachType, attachVerdict, BpfObject } from "./bpf/mod.ts";
import { temporaryCgroup } from "./bpf/testdata/lab.ts";
import { poll } from "./bpf/ffi/libc.ts";
import { NativeMemory } from "./bpf/ffi/memory.ts";
import { chooseSockmap } from "./sockmap.ts";
import { readObject } from "./objects.ts";

Deno.test("chooseSockmap() follows the operator, and by default what the kernel does well", async () => {
  assertEquals(await chooseSockmap("off"), { on: false, reason: "--sockmap off" });
  const auto = await chooseSockmap("auto");
  const on = await chooseSockmap("on");
  assert(on.on || on.reason.startsWith("no messages between sockets: "), on.reason);
  if (auto.on) assertEquals(on, auto);
  else assertMatch(auto.reason, /this kernel |no messages between sockets|arrived/);
  if (on.on && !auto.on) assertEquals(on.reason, `--sockmap on, but ${auto.reason}`);
});

Deno.test("chooseSockmap() says the same where a receiver has to wait for a thread", async () => {
  const quiet = await chooseSockmap("auto");
  // all threads of the runtime that may block
  using nobody = new NativeMemory(8);
  nobody.view.setInt32(0, -1, true);
  const busy = Array.from({ length: 40 }, () => poll(nobody.pointer, 1, 700));
  assertEquals(await chooseSockmap("auto"), quiet);
  await Promise.all(busy);
});

Deno.test("the sockmap's programs load and attach", () => {
  using cgroup = temporaryCgroup();
  using object = BpfObject.open(readObject("sockmap"));
  for (const name of object.mapNames) {
    if (object.mapLayout(name).maxEntries > 4096) object.setMaxEntries(name, 4096);
  }
  object.load();
  using verdict = object.program("sk_msg_redirect");
  using sockets = object.map("pilus_sockets");
  attachVerdict(verdict, sockets);
  using program = object.program("sock_ops");
  using _link = attachCgroup(program, {
    cgroup: cgroup.path,
    attachType: AttachType.CGROUP_SOCK_OPS,
  });
});

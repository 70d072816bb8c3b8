import { assert, assertEquals, assertMatch } from "@std/assert";
import { attachCgroup, AttachType, attachVerdict, BpfObject } from "./bpf/mod.ts";
import { temporaryCgroup } from "./bpf/testdata/lab.ts";
import { chooseLocalPath } from "./local_path.ts";
import { readObject } from "./objects.ts";

Deno.test("chooseLocalPath() follows the operator, and by default what the kernel does well", async () => {
  assertEquals(await chooseLocalPath("off"), { on: false, reason: "--local-path off" });
  const auto = await chooseLocalPath("auto");
  const on = await chooseLocalPath("on");
  assert(on.on || on.reason.startsWith("no messages between sockets: "), on.reason);
  if (auto.on) assertEquals(on, auto);
  else assertMatch(auto.reason, /this kernel |no messages between sockets|arrived/);
  if (on.on && !auto.on) assertEquals(on.reason, `--local-path on, but ${auto.reason}`);
});

Deno.test("the local path's programs load and attach", () => {
  using cgroup = temporaryCgroup();
  using object = BpfObject.open(readObject("sockmap"));
  for (const name of object.mapNames) {
    if (object.mapLayout(name).maxEntries > 4096) object.setMaxEntries(name, 4096);
  }
  object.load();
  using verdict = object.program("hand_over");
  using sockets = object.map("pilus_sockets");
  attachVerdict(verdict, sockets);
  using program = object.program("watch_connection");
  using _link = attachCgroup(program, {
    cgroup: cgroup.path,
    attachType: AttachType.CGROUP_SOCK_OPS,
  });
});

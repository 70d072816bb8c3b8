import { assert, assertEquals } from "@std/assert";
import { AttachType } from "../constants.ts";
import { BpfObject } from "../object.ts";
import { compile } from "../testdata/build.ts";
import { temporaryBpffs, temporaryCgroup } from "../testdata/lab.ts";
import { attachCgroup } from "./cgroup.ts";
import { BpfLink } from "./link.ts";

const sample = compile("sample");

function loaded(): BpfObject {
  return BpfObject.open(sample).load();
}

Deno.test("attachCgroup() stops a connect() of a process in the cgroup", () => {
  using bpffs = temporaryBpffs();
  using cgroup = temporaryCgroup();
  using object = loaded();
  using program = object.program("refuse_connect");
  using link = attachCgroup(program, { cgroup: cgroup.path, pin: `${bpffs.path}/connect` });
  const connect = (port: number) =>
    new TextDecoder().decode(
      new Deno.Command("bash", {
        args: [
          "-c",
          `echo $$ > ${cgroup.path}/cgroup.procs; exec 3<>/dev/tcp/127.0.0.1/${port}`,
        ],
        env: { LC_ALL: "C" },
      }).outputSync().stderr,
    );
  assert(connect(1).includes("Operation not permitted"), connect(1));
  assert(connect(2).includes("Connection refused"), connect(2));
  using same = BpfLink.openPinned(`${bpffs.path}/connect`);
  assertEquals(same.info().attachType, AttachType.CGROUP_INET4_CONNECT);
  link.detach();
  assert(connect(1).includes("Connection refused"), connect(1));
});

Deno.test("attachCgroup() leaves the cgroup of a pinned link for another one", () => {
  using bpffs = temporaryBpffs();
  using before = temporaryCgroup();
  using after = temporaryCgroup();
  using object = loaded();
  using program = object.program("refuse_connect");
  const pin = `${bpffs.path}/connect`;
  const ino = (path: string) => BigInt(Deno.statSync(path).ino!);
  const attached = (path: string) => {
    const { stdout } = new Deno.Command("bpftool", { args: ["cgroup", "show", path] }).outputSync();
    return new TextDecoder().decode(stdout).includes("refuse_connect");
  };
  attachCgroup(program, { cgroup: before.path, pin })[Symbol.dispose]();
  assertEquals([attached(before.path), attached(after.path)], [true, false]);
  for (let turn = 0; turn < 2; turn++) {
    using link = attachCgroup(program, { cgroup: after.path, pin });
    assertEquals(link.info().cgroupId, ino(after.path));
  }
  assertEquals([attached(before.path), attached(after.path)], [false, true]);
});

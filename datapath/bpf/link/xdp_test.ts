import { assertEquals, assertThrows } from "@std/assert";
import { KernelError } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { BpfObject } from "../object.ts";
import { compile } from "../testdata/build.ts";
import { temporaryBpffs, temporaryVeth } from "../testdata/lab.ts";
import { attachXdp } from "./xdp.ts";

const sample = compile("sample");

function loaded(): BpfObject {
  return BpfObject.open(sample).load();
}

for (const mode of ["native", "generic"] as const) {
  Deno.test(`attachXdp() attaches in ${mode} mode and refuses a second program`, () => {
    using bpffs = temporaryBpffs();
    using veth = temporaryVeth();
    using object = loaded();
    using program = object.program("xdp_pass");
    const options = { ifindex: veth.ifindex, mode, pin: `${bpffs.path}/xdp` };
    using link = attachXdp(program, options);
    assertEquals(link.info().attachType, AttachType.XDP);
    using same = attachXdp(program, options);
    assertEquals(same.info().programId, program.id);
    const { pin: _, ...unpinned } = options;
    assertThrows(() => attachXdp(program, unpinned), KernelError, "another XDP program is there");
    link.detach();
  });
}

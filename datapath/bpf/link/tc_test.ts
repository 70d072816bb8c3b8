import { assert, assertEquals, assertThrows } from "@std/assert";
import { KernelError } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { features } from "../features.ts";
import { BpfObject } from "../object.ts";
import { compile } from "../testdata/build.ts";
import { temporaryBpffs, temporaryVeth } from "../testdata/lab.ts";
import { attachTc, openTc } from "./tc.ts";

const sample = compile("sample");

function loaded(): BpfObject {
  return BpfObject.open(sample).load();
}

for (const mode of ["tcx", "clsact"] as const) {
  Deno.test(`attachTc() by ${mode} attaches, outlives its handle, is replaced and detached`, () => {
    using bpffs = temporaryBpffs();
    using veth = temporaryVeth();
    using object = loaded();
    using first = object.program("tc_verdict");
    using second = object.program("tc_discard");
    const { ifindex } = veth;
    const options = { ifindex, direction: "ingress", mode, pin: `${bpffs.path}/link` } as const;
    if (mode === "tcx" && !features().tcx) {
      assertThrows(() => attachTc(first, options), KernelError, "does not support tcx");
      return;
    }
    attachTc(first, options)[Symbol.dispose]();
    using again = openTc(options);
    assert(again);
    assertEquals(again.info().programId, first.id);
    assertEquals(again.info().ifindex, ifindex);
    using replaced = attachTc(second, options);
    assertEquals(again.info().programId, second.id);
    replaced.update(first);
    assertEquals(again.info().programId, first.id);
    replaced.detach();
    assertEquals(openTc(options), undefined);
  });

  Deno.test(`attachTc() by ${mode} without a pin ends with its handle`, () => {
    if (mode === "tcx" && !features().tcx) return;
    using veth = temporaryVeth();
    using object = loaded();
    using program = object.program("tc_verdict");
    const options = { ifindex: veth.ifindex, direction: "egress", mode } as const;
    {
      using link = attachTc(program, options);
      assertEquals(link.info().attachType, AttachType.TCX_EGRESS);
    }
    if (mode === "clsact") assertEquals(openTc(options), undefined);
  });
}

Deno.test("attachTc() attaches anew when the pinned link's device is gone", () => {
  using bpffs = temporaryBpffs();
  using object = loaded();
  using program = object.program("tc_verdict");
  const pin = `${bpffs.path}/link`;
  {
    using veth = temporaryVeth();
    using _link = attachTc(program, { ifindex: veth.ifindex, direction: "ingress", pin });
  }
  using veth = temporaryVeth();
  using link = attachTc(program, { ifindex: veth.ifindex, direction: "ingress", pin });
  assertEquals(link.info().ifindex, veth.ifindex);
});

Deno.test("attachTc() names a device that is not there", () => {
  using object = loaded();
  using program = object.program("tc_verdict");
  assertThrows(
    () => attachTc(program, { ifindex: 999_999, direction: "ingress" }),
    KernelError,
    "ifindex 999999",
  );
});

import { assert, assertThrows } from "@std/assert";
import { KernelError } from "./kernel_error.ts";
import { features, requireKernelBtf } from "./features.ts";

Deno.test("features() finds what every supported kernel has", () => {
  assert(features().batch);
});

Deno.test("requireKernelBtf() says which kernel to boot", () => {
  requireKernelBtf();
  assertThrows(
    () => requireKernelBtf("/sys/kernel/btf/nothing"),
    KernelError,
    "CONFIG_DEBUG_INFO_BTF=y",
  );
});

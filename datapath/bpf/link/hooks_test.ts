/** Each kind of hook: a program is attached, fires, and does no more when it is taken off. */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { u32, u64 } from "../codec.ts";
import { LinkType } from "../constants.ts";
import { bind, socket } from "../ffi/libc.ts";
import { KernelError } from "../kernel_error.ts";
import { BpfObject } from "../object.ts";
import { compile } from "../testdata/build.ts";
import {
  hooks as table,
  LIBC,
  LOOPBACK,
  noTrampolines,
  sendDatagram,
  tryHook,
} from "../testdata/hook_table.ts";
import { TypedMap } from "../typed_map.ts";
import { attachIter, readIterText } from "./iter.ts";
import { attachStream, detachStream } from "./sk_skb.ts";
import { attachSocketFilter, detachSocketFilter } from "./socket_filter.ts";
import { attachTracing } from "./tracing.ts";
import { attachUprobe } from "./uprobe.ts";

const hooks = compile("hooks");
const packet = new Uint8Array(60);

for (const hook of table) {
  const { title, ignore = false } = hook;
  Deno.test({ name: `${title} fires while it is attached`, ignore, fn: () => tryHook(hook) });
}

/** A test of the object with these programs loaded. */
function withHooks(
  programs: string[],
  test: (object: BpfObject, calls: () => bigint) => void | Promise<void>,
): () => Promise<void> {
  return async () => {
    using object = BpfObject.open(hooks, { name: "hooks" });
    object.setAutoload(programs);
    object.load();
    using calls = new TypedMap(object.map("calls"), { key: u32, value: u64 });
    await test(object, () => calls.get(0)!);
  };
}

Deno.test(
  "an iterator over a map writes of each element, at each walk",
  withHooks(["on_element"], (object) => {
    using numbers = new TypedMap(object.map("numbers"), { key: u32, value: u64 });
    using program = object.program("on_element");
    using link = attachIter(program, { map: numbers.raw });
    assertEquals(readIterText(link), "");
    for (let i = 1; i <= 8; i++) numbers.set(i, BigInt(i * i));
    const lines = () => readIterText(link).trim().split("\n").sort();
    assertEquals(lines(), ["1 1", "2 4", "3 9", "4 16", "5 25", "6 36", "7 49", "8 64"]);
    numbers.delete(8);
    assertEquals(lines().length, 7);
    assertEquals(link.info().linkType, LinkType.ITER);
  }),
);

Deno.test({
  name: "freplace puts a program in the place of another's function",
  ignore: noTrampolines,
  async fn() {
    await withHooks(["target"], (object) => {
      using target = object.program("target");
      assertEquals(target.testRun({ data: packet }).retval, 2);
      using other = BpfObject.open(hooks, { name: "hooks" });
      other.setAutoload(["replacement"]);
      other.setAttachTarget("replacement", "replaced", target);
      other.load();
      using link = other.attach("replacement");
      assertEquals(target.testRun({ data: packet }).retval, 1);
      link.detach();
      assertEquals(target.testRun({ data: packet }).retval, 2);
    })();
  },
});

Deno.test(
  "a socket's filter chooses what it receives",
  withHooks(["on_socket"], (object, calls) => {
    using receiver = socket(2, 2, 0);
    bind(receiver.fd, LOOPBACK);
    using program = object.program("on_socket");
    sendDatagram();
    assertEquals(calls(), 0n);
    attachSocketFilter(program, receiver.fd);
    sendDatagram();
    assertEquals(calls(), 1n);
    detachSocketFilter(receiver.fd);
    assertThrows(() => detachSocketFilter(receiver.fd), KernelError, "ENOENT");
    sendDatagram();
    assertEquals(calls(), 1n);
  }),
);

Deno.test(
  "stream programs are of a map of sockets until they are taken off",
  withHooks(["on_stream"], (object) => {
    using program = object.program("on_stream"), sockets = object.map("sockets");
    attachStream(program, sockets, "verdict");
    detachStream(program, sockets, "verdict");
    assertThrows(() => detachStream(program, sockets, "verdict"), KernelError, "ENOENT");
  }),
);

Deno.test(
  "where no tracefs is mounted the error of a tracepoint says how to mount it",
  withHooks(["on_tracepoint"], (object) => {
    try {
      object.attach("on_tracepoint").detach();
    } catch (error) {
      assertStringIncludes(
        (error as Error).message,
        "mount -t tracefs tracefs /sys/kernel/tracing",
      );
    }
  }),
);

Deno.test(
  "what a section does not say has to be said",
  withHooks(["on_uprobe", "target"], (object) => {
    assertThrows(() => object.attach("target"), RangeError, "does not say where to attach");
    assertThrows(() => object.attach("on_uprobe"), RangeError, "does not say where to attach");
    using program = object.program("on_uprobe");
    const options = { path: LIBC, symbol: "no_such_function" };
    assertThrows(() => attachUprobe(program, options), RangeError, "has no function");
    assertThrows(() => attachUprobe(program, { path: LIBC }), RangeError, "Give a symbol");
    using target = object.program("target");
    assertThrows(() => attachTracing(target), TypeError, "this hook is for TRACING or LSM or EXT");
  }),
);

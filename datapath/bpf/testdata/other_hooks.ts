/** Hooks that are not seen by a counter, or are not held by a link; their own tests look closer. */

import { assert, assertEquals } from "@std/assert";
import { u32, u64 } from "../codec.ts";
import { bind, socket } from "../ffi/libc.ts";
import { attachIter, readIterText } from "../link/iter.ts";
import { attachStream, detachStream } from "../link/sk_skb.ts";
import { attachSocketFilter, detachSocketFilter } from "../link/socket_filter.ts";
import { attachTc } from "../link/tc.ts";
import { BpfObject } from "../object.ts";
import { TypedMap } from "../typed_map.ts";
import { compile } from "./build.ts";
import { LOOPBACK, sendDatagram } from "./hook_table.ts";
import { temporaryVeth } from "./lab.ts";

const file = compile("hooks");

function loaded(program: string): BpfObject {
  const object = BpfObject.open(file, { name: "hooks" });
  object.setAutoload([program]);
  return object.load();
}

/** By the name of the hook: throws where it does not work. */
export const otherHooks: Readonly<Record<string, () => void>> = {
  iter() {
    using object = loaded("on_element"), program = object.program("on_element");
    using numbers = new TypedMap(object.map("numbers"), { key: u32, value: u64 });
    numbers.set(3, 9n);
    using link = attachIter(program, { map: numbers.raw });
    assertEquals(readIterText(link), "3 9\n");
  },
  freplace() {
    using object = loaded("target"), target = object.program("target");
    using other = BpfObject.open(file, { name: "hooks" });
    other.setAutoload(["replacement"]);
    other.setAttachTarget("replacement", "replaced", target);
    other.load();
    const data = new Uint8Array(60), link = other.attach("replacement");
    assertEquals(target.testRun({ data }).retval, 1);
    link.detach();
    assertEquals(target.testRun({ data }).retval, 2);
  },
  "socket filter"() {
    using object = loaded("on_socket"), program = object.program("on_socket");
    using calls = new TypedMap(object.map("calls"), { key: u32, value: u64 });
    using receiver = socket(2, 2, 0);
    bind(receiver.fd, LOOPBACK);
    attachSocketFilter(program, receiver.fd);
    sendDatagram();
    detachSocketFilter(receiver.fd);
    sendDatagram();
    assertEquals(calls.get(0), 1n);
  },
  "sk_skb"() {
    using object = loaded("on_stream"), program = object.program("on_stream");
    using sockets = object.map("sockets");
    attachStream(program, sockets, "verdict");
    detachStream(program, sockets, "verdict");
  },
  "tc by clsact"() {
    using veth = temporaryVeth(), object = loaded("on_tc"), program = object.program("on_tc");
    const options = { ifindex: veth.ifindex, direction: "ingress", mode: "clsact" } as const;
    using filter = attachTc(program, options);
    assertEquals(filter.info().programId, program.id);
    filter.detach();
  },
  "struct_ops"() {
    using object = BpfObject.open(compile("congestion")).load();
    const known = () =>
      Deno.readTextFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control")
        .includes("pilus_steady");
    using link = object.attachStructOps("steady");
    assert(known());
    link[Symbol.dispose]();
  },
};

import { assertEquals, assertThrows } from "@std/assert";
import { LinkType } from "../constants.ts";
import {
  accept,
  bind,
  connect,
  getsockname,
  listen,
  send,
  setsockopt,
  socket,
} from "../ffi/libc.ts";
import { KernelError } from "../kernel_error.ts";
import { BpfObject } from "../object.ts";
import { compile } from "../testdata/build.ts";
import { temporaryBpffs } from "../testdata/lab.ts";
import { BpfLink } from "./link.ts";

const NAME = `steady${Deno.pid}`.slice(0, 15);

/** The program with a name of this process's own. */
function loaded(): BpfObject {
  const file = compile("congestion");
  const text = new TextEncoder().encode("pilus_steady\0");
  const at = file.findIndex((_, i) => text.every((byte, j) => file[i + j] === byte));
  file.fill(0, at, at + 16).set(new TextEncoder().encode(NAME), at);
  return BpfObject.open(file, { name: "congestion" });
}

const known = () =>
  Deno.readTextFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control").trim().split(" ")
    .includes(NAME);

const later = () => new Promise((resolve) => setTimeout(resolve, 20));

/** Sends something within the machine, by a connection with this control. */
function sendByTcp(): void {
  const AF_INET = 2, SOCK_STREAM = 1, IPPROTO_TCP = 6, TCP_CONGESTION = 13;
  using listener = socket(AF_INET, SOCK_STREAM, 0);
  const address = new Uint8Array([AF_INET, 0, 0, 0, 127, 0, 0, 1, ...new Uint8Array(8)]);
  bind(listener.fd, address);
  listen(listener.fd, 1);
  getsockname(listener.fd, address);
  using client = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(
    client.fd,
    IPPROTO_TCP,
    TCP_CONGESTION,
    Uint8Array.from(new TextEncoder().encode(NAME)),
  );
  connect(client.fd, address);
  using _server = accept(listener.fd);
  for (let i = 0; i < 20; i++) send(client.fd, new Uint8Array(1000));
}

const [major = 0, minor = 0] = Deno.osRelease().split(".").map(Number);

Deno.test({
  name: "a table of functions is registered while its link lives, and works",
  ignore: major < 6 || major === 6 && minor < 4,
  async fn() {
    using object = loaded();
    assertThrows(() => object.attachStructOps("steady"), TypeError, "is not loaded");
    object.load();
    assertThrows(() => object.attachStructOps("nothing"), RangeError, "has no map nothing");
    assertThrows(() => object.attachStructOps(".bss"), TypeError, "is no STRUCT_OPS");
    assertEquals(known(), false);
    using link = object.attachStructOps("steady");
    assertEquals([known(), link.info().linkType], [true, LinkType.STRUCT_OPS]);
    sendByTcp();
    const calls = object.variable("calls");
    for (let i = 0; i < 100 && calls.get() === 0n; i++) await later();
    assertEquals(calls.get() !== 0n, true);
    using other = loaded();
    other.load();
    assertThrows(() => other.attachStructOps("steady"), KernelError, "registered already");

    using bpffs = temporaryBpffs();
    link.pin(`${bpffs.path}/link`);
    link[Symbol.dispose]();
    assertEquals(known(), true, "by its pin");
    BpfLink.openPinned(`${bpffs.path}/link`).detach();
    for (let i = 0; i < 100 && known(); i++) {
      await later();
    }
    assertEquals(known(), false);
  },
});

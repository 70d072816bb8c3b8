/** Each kind of hook: a program is attached, fires, and does no more when it is taken off. */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { bind, connect, geteuid, send, socket } from "../ffi/libc.ts";
import { KernelError } from "../kernel_error.ts";
import { u32, u64 } from "../codec.ts";
import { LinkType } from "../constants.ts";
import { BpfObject } from "../object.ts";
import type { BpfProgram } from "../program.ts";
import { TypedMap } from "../typed_map.ts";
import { compile } from "../testdata/build.ts";
import { temporaryBpffs } from "../testdata/lab.ts";
import { attachIter, readIterText } from "./iter.ts";
import { attachKprobeMulti } from "./kprobe.ts";
import { BpfLink } from "./link.ts";
import { attachNetfilter, NetfilterHook } from "./netfilter.ts";
import { attachNetns } from "./netns.ts";
import { attachPerfEvent } from "./perf_event.ts";
import { attachStream, detachStream } from "./sk_skb.ts";
import { attachSocketFilter, detachSocketFilter } from "./socket_filter.ts";
import { attachTracing } from "./tracing.ts";
import { attachUprobe, attachUprobeMulti } from "./uprobe.ts";

const hooks = compile("hooks");
const packet = new Uint8Array(60);
const LIBC = `/lib/${Deno.build.arch}-linux-gnu/libc.so.6`;

/** Whether this kernel was built without an option. */
function lacks(option: RegExp): boolean {
  // what has no configuration to read is Debian's, which has everything
  const { success, stdout } = new Deno.Command("zcat", { args: ["/proc/config.gz"] }).outputSync();
  return success && !option.test(new TextDecoder().decode(stdout));
}
const noKprobes = lacks(/^CONFIG_KPROBES=y/m);
const noTrampolines = !loads("on_fentry");
// Debian's 6.1 has none
const noFprobe = kernel() < 602 || lacks(/^CONFIG_FPROBE=y/m);
const noLsm = noTrampolines || lacks(/^CONFIG_BPF_LSM=y/m);
const noNetfilter = kernel() < 604 || lacks(/^CONFIG_NETFILTER_BPF_LINK=y/m);
const noUprobeMulti = kernel() < 606;

/** Whether the kernel takes the program at all: some have what it needs and refuse it. */
function loads(name: string): boolean {
  using object = BpfObject.open(hooks);
  object.setAutoload([name]);
  try {
    object.load();
    return true;
  } catch {
    return false;
  }
}

/** 612 for Linux 6.12. */
function kernel(): number {
  const [major = 0, minor = 0] = Deno.osRelease().split(".").map(Number);
  return 100 * major + minor;
}

/** Runs fentry's own test functions in the kernel. */
function runTestFunctions(object: BpfObject): void {
  using program = object.program("on_fentry");
  program.testRun({});
}

interface Hook {
  program: string;
  /** @default {by its section} */
  attach?: (program: BpfProgram) => BpfLink;
  fire: (object: BpfObject) => void | Promise<void>;
  linkType: number;
  /** Loaded besides. */
  also?: string[];
  ignore?: boolean;
}

const switchTasks = () => new Promise<void>((resolve) => setTimeout(resolve, 5));
/** A number of this process's own: others run these tests, too. */
const OWN = 20_000 + Deno.pid % 40_000;
const LOOPBACK = new Uint8Array([2, 0, OWN >> 8, OWN & 255, 127, 0, 0, 1, ...new Uint8Array(8)]);

function sendDatagram(): void {
  using one = socket(2, 2, 0);
  connect(one.fd, LOOPBACK);
  try {
    send(one.fd, new Uint8Array(1));
  } catch {
    // nobody listens
  }
}

const table: Hook[] = [
  {
    program: "on_kprobe",
    fire: runTestFunctions,
    linkType: LinkType.PERF_EVENT,
    ignore: noKprobes || noTrampolines,
    also: ["on_fentry"],
  },
  {
    program: "on_kretprobe",
    fire: runTestFunctions,
    linkType: LinkType.PERF_EVENT,
    ignore: noKprobes || noTrampolines,
    also: ["on_fentry"],
  },
  {
    program: "on_kprobe_multi",
    attach: (program) =>
      attachKprobeMulti(program, { symbols: ["bpf_fentry_test1", "bpf_fentry_test2"] }),
    fire: runTestFunctions,
    linkType: LinkType.KPROBE_MULTI,
    ignore: noFprobe || noTrampolines,
    also: ["on_fentry"],
  },
  {
    program: "on_uprobe",
    attach: (program) => attachUprobe(program, { path: LIBC, symbol: "geteuid", pid: Deno.pid }),
    fire: () => void geteuid(),
    linkType: LinkType.PERF_EVENT,
  },
  {
    program: "on_uretprobe",
    attach: (program) => attachUprobe(program, { path: LIBC, symbol: "geteuid", retprobe: true }),
    fire: () => void geteuid(),
    linkType: LinkType.PERF_EVENT,
  },
  {
    program: "on_uprobe_multi",
    attach: (program) =>
      attachUprobeMulti(program, { path: LIBC, symbols: ["geteuid", "getegid"] }),
    fire: () => void geteuid(),
    linkType: LinkType.UPROBE_MULTI,
    ignore: noUprobeMulti,
  },
  { program: "on_raw_tracepoint", fire: switchTasks, linkType: LinkType.RAW_TRACEPOINT },
  { program: "on_tp_btf", fire: switchTasks, linkType: LinkType.RAW_TRACEPOINT },
  {
    program: "on_fentry",
    fire: runTestFunctions,
    linkType: LinkType.TRACING,
    ignore: noTrampolines,
  },
  {
    program: "on_fexit",
    fire: runTestFunctions,
    linkType: LinkType.TRACING,
    ignore: noTrampolines,
    also: ["on_fentry"],
  },
  {
    program: "on_fmod_ret",
    fire: (object) => {
      using program = object.program("on_fmod_ret");
      program.testRun({});
    },
    linkType: LinkType.TRACING,
    ignore: !loads("on_fmod_ret"),
  },
  {
    program: "on_lsm",
    fire: () => Deno.openSync("/dev/null").close(),
    linkType: LinkType.TRACING,
    ignore: noLsm,
  },
  {
    program: "on_perf_event",
    attach: (program) =>
      attachPerfEvent(program, { type: 1, config: 0n, samplePeriod: 100_000, pid: 0 }),
    fire: () => {
      const end = performance.now() + 20;
      while (performance.now() < end);
    },
    linkType: LinkType.PERF_EVENT,
  },
  {
    program: "on_sk_lookup",
    attach: (program) => attachNetns(program),
    fire: sendDatagram,
    linkType: LinkType.NETNS,
  },
  {
    program: "on_netfilter",
    attach: (program) =>
      attachNetfilter(program, { family: "ipv4", hook: NetfilterHook.LOCAL_OUT, priority: OWN }),
    fire: sendDatagram,
    linkType: LinkType.NETFILTER,
    ignore: noNetfilter,
  },
];

for (const hook of table) {
  const { program: name, attach, fire, linkType, also = [], ignore = false } = hook;
  Deno.test({
    name: `${name} fires while it is attached`,
    ignore,
    async fn() {
      using object = BpfObject.open(hooks, { name: "hooks" });
      object.setAutoload([name, ...also]);
      object.load();
      using program = object.program(name);
      using calls = new TypedMap(object.map("calls"), { key: u32, value: u64 });
      const count = () => calls.get(0)!;
      const fired = async () => {
        const before = count();
        for (let i = 0; i < 20 && count() === before; i++) await fire(object);
        return count() > before;
      };
      const make = () => attach ? attach(program) : object.attach(name);
      assert(!await fired(), "not before");
      const link = make();
      const info = link.info();
      assertEquals([info.linkType, info.programId], [linkType, program.id]);
      assert(await fired(), "while it is attached");
      link.detach();
      link.detach();
      link[Symbol.dispose]();
      assert(!await fired(), "not after");

      // a pin keeps it, and its removal takes it off
      using bpffs = temporaryBpffs();
      const pinned = make();
      pinned.pin(`${bpffs.path}/link`);
      pinned[Symbol.dispose]();
      assert(await fired(), "while it is pinned");
      BpfLink.openPinned(`${bpffs.path}/link`).detach();
      assert(!await fired(), "not without its pin");
    },
  });
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

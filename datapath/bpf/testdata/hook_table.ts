/** Each kind of hook: how a program is attached and made to fire, and that it does so as long as it should. */

import { assert, assertEquals } from "@std/assert";
import { u32, u64 } from "../codec.ts";
import { LinkType } from "../constants.ts";
import { exists } from "../exists.ts";
import { connect, geteuid, send, socket } from "../ffi/libc.ts";
import { attachCgroup } from "../link/cgroup.ts";
import { attachKprobeMulti } from "../link/kprobe.ts";
import { BpfLink } from "../link/link.ts";
import { attachNetfilter, NetfilterHook } from "../link/netfilter.ts";
import { attachNetkit } from "../link/netkit.ts";
import { attachNetns } from "../link/netns.ts";
import { attachPerfEvent } from "../link/perf_event.ts";
import { attachTc } from "../link/tc.ts";
import { attachUprobe, attachUprobeMulti } from "../link/uprobe.ts";
import { attachXdp } from "../link/xdp.ts";
import { BpfMap } from "../map.ts";
import { BpfObject } from "../object.ts";
import type { BpfProgram } from "../program.ts";
import { TypedMap } from "../typed_map.ts";
import { compile } from "./build.ts";
import {
  cgroupRoot,
  sendFrame,
  temporaryBpffs,
  temporaryNetkit,
  temporaryVeth,
  type Veth,
} from "./lab.ts";

/** Names a file with the object, for a process that a test starts. */
const OBJECT = "BPF_HOOKS_OBJECT";
const built = Deno.env.get(OBJECT);
const file = built === undefined ? compile("hooks") : Deno.readFileSync(built);
export const LIBC = `/lib/${Deno.build.arch}-linux-gnu/libc.so.6`;

/** Whether this kernel was built without an option. */
function lacks(option: RegExp): boolean {
  // what has no configuration to read is Debian's, which has everything
  const { success, stdout } = new Deno.Command("zcat", { args: ["/proc/config.gz"] }).outputSync();
  return success && !option.test(new TextDecoder().decode(stdout));
}
const noKprobes = lacks(/^CONFIG_KPROBES=y/m);
export const noTrampolines = !loads("on_fentry");
// Debian's 6.1 has none
const noFprobe = kernel() < 602 || lacks(/^CONFIG_FPROBE=y/m);
const noLsm = noTrampolines || lacks(/^CONFIG_BPF_LSM=y/m);
const noNetfilter = kernel() < 604 || lacks(/^CONFIG_NETFILTER_BPF_LINK=y/m);
const noUprobeMulti = kernel() < 606;

/** Whether the kernel takes the program at all: some have what it needs and refuse it. */
function loads(name: string): boolean {
  using object = BpfObject.open(file);
  object.setAutoload([name]);
  try {
    object.load();
    return true;
  } catch {
    return false;
  }
}

/** Whether such a device can be made. */
function makes(device: () => Veth): boolean {
  try {
    device()[Symbol.dispose]();
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

/** Where a hook is tried. */
interface Place {
  /** Of its device; 0: none. */
  ifindex: number;
  /** The process that makes it fire. */
  pid: number;
  /** Its thread that does. */
  thread: number;
}

export interface Hook {
  title: string;
  program: string;
  /** Makes a device for it. */
  place?: () => Veth;
  /** @default {by its section} */
  attach?: (program: BpfProgram, place: Place) => BpfLink;
  fire: (object: BpfObject, place: Place) => void | Promise<void>;
  linkType: number;
  /** Loaded besides. */
  also?: string[];
  ignore?: boolean;
}

function unlinkFile(): void {
  Deno.removeSync(Deno.makeTempFileSync());
}

const switchTasks = () => new Promise<void>((resolve) => setTimeout(resolve, 5));
/** A number of this process's own: others run these tests, too. */
const OWN = 20_000 + Deno.pid % 40_000;
export const LOOPBACK = new Uint8Array([
  2,
  0,
  OWN >> 8,
  OWN & 255,
  127,
  0,
  0,
  1,
  ...new Uint8Array(8),
]);

export function sendDatagram(): void {
  using one = socket(2, 2, 0);
  connect(one.fd, LOOPBACK);
  try {
    send(one.fd, new Uint8Array(1));
  } catch {
    // nobody listens
  }
}

/** What is sent out of a veth's other end, its device receives. */
function sendToPlace(_: BpfObject, { ifindex }: Place): void {
  const peer = [...Deno.readDirSync("/sys/class/net")].map(({ name }) => `/sys/class/net/${name}`)
    .find((path) =>
      Number(Deno.readTextFileSync(`${path}/iflink`)) === ifindex && !path.endsWith("lo")
    );
  const number = Number(Deno.readTextFileSync(`${peer}/ifindex`));
  sendFrame(number);
}

export const hooks: readonly Hook[] = [
  {
    title: "kprobe",
    program: "on_kprobe",
    fire: unlinkFile,
    linkType: LinkType.PERF_EVENT,
    ignore: noKprobes,
  },
  {
    title: "kretprobe",
    program: "on_kretprobe",
    fire: unlinkFile,
    linkType: LinkType.PERF_EVENT,
    ignore: noKprobes,
  },
  {
    title: "kprobe.multi",
    program: "on_kprobe_multi",
    attach: (program) => attachKprobeMulti(program, { symbols: ["do_unlinkat", "do_rmdir"] }),
    fire: unlinkFile,
    linkType: LinkType.KPROBE_MULTI,
    ignore: noFprobe,
  },
  {
    title: "uprobe",
    program: "on_uprobe",
    attach: (program, { pid }) => attachUprobe(program, { path: LIBC, symbol: "geteuid", pid }),
    fire: () => void geteuid(),
    linkType: LinkType.PERF_EVENT,
  },
  {
    title: "uretprobe",
    program: "on_uretprobe",
    attach: (program) => attachUprobe(program, { path: LIBC, symbol: "geteuid", retprobe: true }),
    fire: () => void geteuid(),
    linkType: LinkType.PERF_EVENT,
  },
  {
    title: "uprobe.multi",
    program: "on_uprobe_multi",
    attach: (program) =>
      attachUprobeMulti(program, { path: LIBC, symbols: ["geteuid", "getegid"] }),
    fire: () => void geteuid(),
    linkType: LinkType.UPROBE_MULTI,
    ignore: noUprobeMulti,
  },
  {
    title: "tracepoint",
    program: "on_tracepoint",
    fire: switchTasks,
    linkType: LinkType.PERF_EVENT,
    ignore: !exists("/sys/kernel/tracing/events"),
  },
  {
    title: "raw_tp",
    program: "on_raw_tracepoint",
    fire: switchTasks,
    linkType: LinkType.RAW_TRACEPOINT,
  },
  { title: "tp_btf", program: "on_tp_btf", fire: switchTasks, linkType: LinkType.RAW_TRACEPOINT },
  {
    title: "fentry",
    program: "on_fentry",
    fire: runTestFunctions,
    linkType: LinkType.TRACING,
    ignore: noTrampolines,
  },
  {
    title: "fexit",
    program: "on_fexit",
    fire: runTestFunctions,
    linkType: LinkType.TRACING,
    ignore: noTrampolines,
    also: ["on_fentry"],
  },
  {
    title: "fmod_ret",
    program: "on_fmod_ret",
    fire: (object) => {
      using program = object.program("on_fmod_ret");
      program.testRun({});
    },
    linkType: LinkType.TRACING,
    ignore: !loads("on_fmod_ret"),
  },
  {
    title: "lsm",
    program: "on_lsm",
    fire: () => Deno.openSync("/dev/null").close(),
    linkType: LinkType.TRACING,
    ignore: noLsm,
  },
  {
    title: "perf_event",
    program: "on_perf_event",
    attach: (program, { thread }) =>
      attachPerfEvent(program, { type: 1, config: 0n, samplePeriod: 100_000, pid: thread }),
    fire: () => {
      const end = performance.now() + 20;
      while (performance.now() < end);
    },
    linkType: LinkType.PERF_EVENT,
  },
  {
    title: "sk_lookup",
    program: "on_sk_lookup",
    attach: (program) => attachNetns(program),
    fire: sendDatagram,
    linkType: LinkType.NETNS,
  },
  {
    title: "netfilter",
    program: "on_netfilter",
    attach: (program) =>
      attachNetfilter(program, { family: "ipv4", hook: NetfilterHook.LOCAL_OUT, priority: OWN }),
    fire: sendDatagram,
    linkType: LinkType.NETFILTER,
    ignore: noNetfilter,
  },
  {
    title: "XDP, native",
    program: "on_xdp",
    place: temporaryVeth,
    attach: (program, { ifindex }) => attachXdp(program, { ifindex, mode: "native" }),
    fire: sendToPlace,
    linkType: LinkType.XDP,
  },
  {
    title: "XDP, generic",
    program: "on_xdp",
    place: temporaryVeth,
    attach: (program, { ifindex }) => attachXdp(program, { ifindex, mode: "generic" }),
    fire: sendToPlace,
    linkType: LinkType.XDP,
  },
  {
    title: "tcx",
    program: "on_tc",
    place: temporaryVeth,
    attach: (program, { ifindex }) =>
      attachTc(program, { ifindex, direction: "ingress", mode: "tcx" }) as BpfLink,
    fire: sendToPlace,
    linkType: LinkType.TCX,
    ignore: kernel() < 606,
  },
  {
    title: "netkit",
    program: "on_netkit",
    place: temporaryNetkit,
    attach: (program, { ifindex }) => attachNetkit(program, { ifindex }),
    fire: (_, { ifindex }) => sendFrame(ifindex),
    linkType: LinkType.NETKIT,
    ignore: !makes(temporaryNetkit),
  },
  {
    title: "cgroup_skb",
    program: "on_cgroup_skb",
    attach: (program) => attachCgroup(program, { cgroup: cgroupRoot() }),
    fire: sendDatagram,
    linkType: LinkType.CGROUP,
  },
  {
    title: "cgroup, addresses",
    program: "on_connect4",
    attach: (program) => attachCgroup(program, { cgroup: cgroupRoot() }),
    fire: sendDatagram,
    linkType: LinkType.CGROUP,
  },
];

/** Loads a hook's program, attaches it, and says what map counts its calls. */
export function attachHook(
  hook: Hook,
  place: Place,
): Disposable & { object: BpfObject; program: BpfProgram; calls: BpfMap; make: () => BpfLink } {
  using stack = new DisposableStack();
  const object = stack.use(BpfObject.open(file, { name: "hooks" }));
  object.setAutoload([hook.program, ...hook.also ?? []]);
  object.load();
  const program = stack.use(object.program(hook.program));
  const calls = stack.use(object.map("calls"));
  const kept = stack.move();
  return {
    object,
    program,
    calls,
    make: () => hook.attach ? hook.attach(program, place) : object.attach(hook.program),
    [Symbol.dispose]: () => kept.dispose(),
  };
}

/** Attached it fires; it does no more after detach, without its pin, and when its process was killed. */
export async function tryHook(hook: Hook): Promise<void> {
  using device = hook.place?.();
  const thread = Number(Deno.readLinkSync("/proc/thread-self").split("/").at(-1));
  const place = { ifindex: device?.ifindex ?? 0, pid: Deno.pid, thread };
  using own = attachHook(hook, place);
  const { object, program, calls, make } = own;
  const fires = async (map = calls) => {
    const counter = new TypedMap(map, { key: u32, value: u64 });
    const before = counter.get(0)!;
    for (let i = 0; i < 20 && counter.get(0)! === before; i++) await hook.fire(object, place);
    return counter.get(0)! > before;
  };
  assert(!await fires(), "not before");
  const link = make();
  const info = link.info();
  assertEquals([info.linkType, info.programId], [hook.linkType, program.id]);
  assert(await fires(), "while it is attached");
  link.detach();
  link.detach();
  link[Symbol.dispose]();
  assert(!await fires(), "not after");

  using bpffs = temporaryBpffs();
  const pinned = make();
  pinned.pin(`${bpffs.path}/link`);
  pinned[Symbol.dispose]();
  assert(await fires(), "while it is pinned");
  BpfLink.openPinned(`${bpffs.path}/link`).detach();
  assert(!await fires(), "not without its pin");

  const objectFile = Deno.makeTempFileSync({ prefix: "bpf-hooks-" });
  Deno.writeFileSync(objectFile, file);
  const holder = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-check", new URL("hold_hook.ts", import.meta.url).pathname],
      ...[hook.title, ...Object.values(place)].map(String),
    ],
    env: { [OBJECT]: objectFile },
    stdout: "piped",
  }).spawn();
  const reader = holder.stdout.getReader();
  using theirs = BpfMap.byId(Number(new TextDecoder().decode((await reader.read()).value)));
  Deno.removeSync(objectFile);
  const held = await fires(theirs);
  holder.kill("SIGKILL");
  await holder.status;
  await reader.cancel();
  assert(held, "while its process lives");
  // the kernel takes it off when the last call is over
  let still = true;
  for (let i = 0; i < 50 && still; i++) still = await fires(theirs);
  assert(!still, "not after the process was killed");
}

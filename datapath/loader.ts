/**
 * Which program goes where. Programs are loaded once and attached many times; maps and links are
 * pinned, so that traffic goes on without the agent, and an upgrade replaces each program in place.
 */

import {
  attachCgroup,
  attachTc,
  AttachType,
  attachVerdict,
  BpfLink,
  BpfMap,
  BpfObject,
  type BpfProgram,
  features,
  LinkType,
  makePinDirectory,
  openTc,
  requireKernelBtf,
  type TcDirection,
  unpin,
  type VariableValue,
} from "./bpf/mod.ts";
import { type ObjectName, readObject } from "./objects.ts";
import { FileDescriptor, geteuid } from "./bpf/ffi/libc.ts";
import { ERRNO, KernelError } from "./bpf/kernel_error.ts";
import { namespaceCookie } from "./net/netns.ts";
import { withExpeditedGracePeriods } from "./rcu.ts";
import { detachStaleAt } from "./stale_links.ts";
import {
  attachXdpDevice,
  detachXdpDevice,
  type XdpChoice,
  type XdpDeviceState,
} from "./xdp_device.ts";

/** How packets reach pods of other nodes. The numbers are those of bpf/lib/config.h. */
const ROUTING_MODES = { native: 0, vxlan: 1 } as const;

export type RoutingMode = keyof typeof ROUTING_MODES;

/** Rows of maps whose size depends on the node; the others have theirs in bpf/lib. */
export interface MapSizes {
  /** Connections. @default {524288} */
  pilus_ct?: number;
  /** Masqueraded flows, two rows each. @default {262144} */
  pilus_nat?: number;
  /** Sockets that talk to services. @default {131072} */
  pilus_socket_revnat?: number;
  /** Policy entries. @default {1048576} */
  pilus_rules?: number;
  /** Policies: sets of entries that endpoints share. @default {16384} */
  pilus_policies?: number;
  /** Addresses. @default {262144} */
  pilus_ipcache?: number;
  /** Prefixes that policies name. @default {65536} */
  pilus_cidrs?: number;
  /** Prefixes of the prefilter. @default {65536} */
  pilus_prefilter?: number;
  /** Frontends. @default {65536} */
  pilus_services?: number;
  /** Backends over all services, and those that are on their way out. @default {131072} */
  pilus_backends?: number;
  /** Backends by service, each once. @default {262144} */
  pilus_backend_index?: number;
  /** Prefixes of services' source ranges. @default {65536} */
  pilus_source_ranges?: number;
  /** Rows of Maglev tables: 32 of 2 KiB a table of 16381 slots. @default {8192} */
  pilus_maglev?: number;
  /** Flows to services that have a memory. @default {131072} */
  pilus_choices?: number;
  /** Clients of services with affinity. @default {65536} */
  pilus_affinity?: number;
  /** Bytes of the event buffer, a power of two and a multiple of the page size. @default {8388608} */
  pilus_events?: number;
}

export interface LoaderOptions {
  /** A directory of our own on a bpffs. */
  bpffs: string;
  routing: RoutingMode;
  masquerade: boolean;
  /** Whether other nodes on the link are known by their MAC, too. @default {true} */
  nodeMacCheck?: boolean;
  /** ifindex of the tunnel device, 0 without one. */
  tunnelIfindex: number;
  /** UDP port of the tunnel. */
  tunnelPort: number;
  /** Slots of a Maglev table, a prime. @default {16381} */
  maglevSize?: number;
  /** Source ports that masquerading chooses itself, the last one included. @default {[1024, 65535]} */
  natPortRange?: readonly [first: number, last: number];
  /** Whether connections within the node may go from socket to socket. @default {false} */
  sockmap?: boolean;
  mapSizes?: MapSizes;
}

/** The cgroup hooks by program name. */
export const SOCKET_HOOKS = {
  connect4: AttachType.CGROUP_INET4_CONNECT,
  connect6: AttachType.CGROUP_INET6_CONNECT,
  sendmsg4: AttachType.CGROUP_UDP4_SENDMSG,
  sendmsg6: AttachType.CGROUP_UDP6_SENDMSG,
  recvmsg4: AttachType.CGROUP_UDP4_RECVMSG,
  recvmsg6: AttachType.CGROUP_UDP6_RECVMSG,
  getpeername4: AttachType.CGROUP_INET4_GETPEERNAME,
  getpeername6: AttachType.CGROUP_INET6_GETPEERNAME,
  post_bind4: AttachType.CGROUP_INET4_POST_BIND,
  post_bind6: AttachType.CGROUP_INET6_POST_BIND,
  release: AttachType.CGROUP_INET_SOCK_RELEASE,
} as const;

/** A kind of device, and its two programs. */
const DEVICE_PROGRAMS = {
  pod: { ingress: "from_pod", egress: "to_pod" },
  host: { ingress: "from_netdev", egress: "to_netdev" },
  overlay: { ingress: "from_overlay", egress: "to_overlay" },
} as const;

export type DeviceKind = keyof typeof DEVICE_PROGRAMS;

/**
 * Throws an error that names the fix when this process cannot work with eBPF here: not root, no BTF
 * in the kernel.
 */
export function checkRequirements(): void {
  if (geteuid() !== 0) {
    throw new KernelError({
      operation: "load",
      target: "eBPF programs",
      errno: ERRNO.EPERM,
      hint: "pilus agent must run as root; use sudo",
    });
  }
  requireKernelBtf();
}

/** Rows that a pass of the garbage collector has deleted. */
export interface Collected {
  connections: number;
  mappings: number;
  /** Of flows to services and of clients with affinity. */
  choices: number;
}

/** The loaded programs, their hooks and the directory of their maps. */
export class Loader implements Disposable {
  readonly #links: string;
  readonly #programs = new Map<string, BpfProgram>();
  readonly mapDirectory: string;
  #collecting: Promise<unknown> = Promise.resolve();

  /** Why there is no sockmap although one was wanted. */
  sockmapError: KernelError | undefined;

  /** Where links are pinned. */
  get linkDirectory(): string {
    return this.#links;
  }

  private constructor(bpffs: string) {
    this.mapDirectory = `${bpffs}/maps`;
    this.#links = `${bpffs}/links`;
    makePinDirectory(bpffs);
    makePinDirectory(this.mapDirectory);
    makePinDirectory(this.#links);
  }

  /** Loads all programs, on another thread; attaches nothing. Throws KernelError. */
  static async load(options: LoaderOptions): Promise<Loader> {
    const loader = new Loader(options.bpffs);
    const constants: Record<string, VariableValue> = {
      routing_mode: ROUTING_MODES[options.routing],
      masquerade: options.masquerade ? 1 : 0,
      node_mac_check: options.nodeMacCheck === false ? 0 : 1,
      can_pace: features().skbTimestamp ? 1 : 0,
      tunnel_ifindex: options.tunnelIfindex,
      tunnel_port: options.tunnelPort,
      ...(options.maglevSize ? { maglev_size: options.maglevSize } : {}),
      ...(options.natPortRange
        ? { nat_port_min: options.natPortRange[0], nat_port_max: options.natPortRange[1] }
        : {}),
      host_netns_cookie: namespaceCookie(),
    };
    const sizes = options.mapSizes ?? {};
    const loads: Promise<void>[] = [];
    try {
      for (const name of ["pod", "host", "overlay", "xdp", "socket", "garbage"] as const) {
        const { shared, loaded } = loader.#loadObject(name, constants, sizes);
        loads.push(loaded);
        loaded.catch(() => {}); // thrown below, when all are through
        if (!shared) await loaded;
      }
      await Promise.all(loads);
      if (options.sockmap) await loader.#loadSockmap(constants, sizes);
      return loader;
    } catch (error) {
      await Promise.allSettled(loads);
      loader[Symbol.dispose]();
      throw error;
    }
  }

  /** Its programs ask more of the kernel than the others, which work without. */
  async #loadSockmap(constants: Record<string, VariableValue>, sizes: MapSizes): Promise<void> {
    try {
      await this.#loadObject("sockmap", constants, sizes).loaded;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.sockmapError = error;
    }
  }

  /** `shared`: all its maps are there, and the next object need not wait until they are made. */
  #loadObject(
    name: ObjectName,
    constants: Record<string, VariableValue>,
    sizes: MapSizes,
  ): { shared: boolean; loaded: Promise<void> } {
    using stack = new DisposableStack();
    const object = stack.use(BpfObject.open(readObject(name), { name: `pilus_${name}` }));
    const known = new Set(object.btf.variables(".rodata").map((v) => v.name));
    object.setConstants(
      Object.fromEntries(Object.entries(constants).filter(([key]) => known.has(key))),
    );
    for (const [map, size] of Object.entries(sizes)) {
      if (object.mapNames.includes(map)) object.setMaxEntries(map, size);
    }
    const shared = object.pinMaps(this.mapDirectory);
    const owned = stack.move();
    const load = async () => {
      using _owned = owned;
      await object.loadElsewhere();
      for (const program of object.programNames) {
        this.#programs.set(program, object.program(program));
      }
    };
    return { shared, loaded: load() };
  }

  /** Attaches, or replaces, both programs of a device. `name` is what the pins are called by. */
  attachDevice(kind: DeviceKind, ifindex: number, name: string): void {
    withExpeditedGracePeriods(() => {
      for (const direction of ["ingress", "egress"] as const) {
        const program = this.#program(DEVICE_PROGRAMS[kind][direction]);
        using _link = attachTc(program, { ifindex, direction, pin: this.#pin(name, direction) });
        const type = direction === "ingress" ? AttachType.TCX_INGRESS : AttachType.TCX_EGRESS;
        detachStaleAt({ linkType: LinkType.TCX, ifindex }, ifindex, type, program.id);
      }
    });
  }

  /** Takes both programs off a device; one that is gone is no error. */
  detachDevice(ifindex: number, name: string): void {
    withExpeditedGracePeriods(() => {
      for (const direction of ["ingress", "egress"] as const) {
        const pin = this.#pin(name, direction);
        openTc({ ifindex, direction, pin })?.detach();
        unpin(pin);
      }
    });
  }

  /** Puts the XDP program on a device of the node, as far as the device and the operator let it. */
  attachXdpDevice(ifindex: number, name: string, choice: XdpChoice): XdpDeviceState {
    return attachXdpDevice(this.#program("xdp_ingress"), {
      ifindex,
      choice,
      pin: this.#pin(name, "xdp"),
    });
  }

  /** Takes the XDP program off every device but these: they were the node's once. */
  detachXdpDevicesExcept(names: readonly string[]): void {
    const kept = new Set(names.map((name) => this.#pin(name, "xdp")));
    for (const { name } of readDirectory(this.#links)) {
      const pin = `${this.#links}/${name}`;
      if (name.endsWith("-xdp") && !kept.has(pin)) detachXdpDevice(pin);
    }
  }

  /** Translates services at the sockets of every process in the cgroup. */
  attachSockets(cgroup: string): void {
    for (const [name, attachType] of Object.entries(SOCKET_HOOKS)) {
      this.#attachCgroup(name, cgroup, attachType, `${this.#links}/socket-${name}`);
    }
  }

  #attachCgroup(name: string, cgroup: string, attachType: number, pin: string): void {
    const program = this.#program(name);
    using _link = attachCgroup(program, { cgroup, attachType, pin });
    using directory = FileDescriptor.open(cgroup);
    const hook = { linkType: LinkType.CGROUP, cgroupId: BigInt(Deno.statSync(cgroup).ino ?? 0) };
    detachStaleAt(hook, directory.fd, attachType, program.id);
  }

  /** Lets connections of the cgroup's processes within the node go from socket to socket. */
  attachSockmap(cgroup: string): void {
    using sockets = BpfMap.openPinned(`${this.mapDirectory}/pilus_sockets`, "pilus_sockets");
    attachVerdict(this.#program("sk_msg_redirect"), sockets);
    this.#attachCgroup("sock_ops", cgroup, AttachType.CGROUP_SOCK_OPS, this.#sockmapPin());
  }

  /**
   * No connection is added any more, and those there are look at pilus_runtime for each message. Their
   * ends are not seen from now on, so what is known of them is forgotten.
   */
  detachSockmap(): void {
    using link = BpfLink.tryOpenPinned(this.#sockmapPin());
    link?.detach();
    using local = BpfMap.tryOpenPinned(
      `${this.mapDirectory}/pilus_socket_refs`,
      "pilus_socket_refs",
    );
    local?.clear();
  }

  #sockmapPin(): string {
    return `${this.#links}/sockmap`;
  }

  /**
   * Deletes what has run out of the tables that flows fill, and counts whose the rest is, without
   * stopping this thread. One pass at a time: the next waits for the last.
   */
  collectGarbage(): Promise<Collected> {
    const pass = async () => {
      const result = await this.#program("collect_garbage").runElsewhere(new Uint8Array(24));
      const [connections, mappings, choices] = new BigUint64Array(result.buffer);
      return {
        connections: Number(connections),
        mappings: Number(mappings),
        choices: Number(choices),
      };
    };
    const next = this.#collecting.then(pass, pass);
    this.#collecting = next;
    return next;
  }

  /** Takes the socket programs off. */
  detachSockets(): void {
    for (const name of Object.keys(SOCKET_HOOKS)) {
      const pin = `${this.#links}/socket-${name}`;
      using link = BpfLink.tryOpenPinned(pin);
      link?.detach();
    }
    this.detachSockmap();
  }

  /** Removes every link and map: the node is as if pilus had never been. */
  static removeAll(bpffs: string): void {
    for (const directory of [`${bpffs}/links`, `${bpffs}/maps`]) {
      for (const { name } of readDirectory(directory)) unpin(`${directory}/${name}`);
      removeDirectory(directory);
    }
    removeDirectory(bpffs);
  }

  #program(name: string): BpfProgram {
    const program = this.#programs.get(name);
    if (!program) throw new RangeError(`No eBPF program ${name} is loaded`);
    return program;
  }

  /** bpffs refuses dots in names. */
  #pin(name: string, hook: TcDirection | "xdp"): string {
    return `${this.#links}/${name.replaceAll(".", "%")}-${hook}`;
  }

  [Symbol.dispose](): void {
    for (const program of this.#programs.values()) program[Symbol.dispose]();
    this.#programs.clear();
  }
}

function readDirectory(path: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(path)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function removeDirectory(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

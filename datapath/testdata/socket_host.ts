/** A network namespace whose processes have the socket programs on them, and maps to fill. */

import { attachCgroup, BpfObject, type MapDescriptor, TypedMap } from "../bpf/mod.ts";
import { type Temporary, temporaryCgroup } from "../bpf/testdata/lab.ts";
import { SOCKET_HOOKS } from "../loader.ts";
import { maps } from "../maps/generated.ts";
import { addAddress } from "../net/address.ts";
import { parseCidr, parseIp } from "../net/ip.ts";
import { getLink, setLink } from "../net/link.ts";
import { NetlinkSocket } from "../net/netlink.ts";
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  namespaceCookie,
  openNamespace,
} from "../net/netns.ts";
import { readObject } from "../objects.ts";

/** What a call gave: its value, or the errno's name. */
export interface CallResult {
  value?: unknown;
  error?: string;
}

/** A process that makes socket calls on request; see sockets.py. */
export class Sockets implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async call(...words: (string | number)[]): Promise<CallResult> {
    await this.#writer.write(new TextEncoder().encode(JSON.stringify(words) + "\n"));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error(`sockets.py ended at ${words.join(" ")}`);
      this.#rest += value;
    }
    const [line = "", ...rest] = this.#rest.split("\n");
    this.#rest = rest.join("\n");
    return JSON.parse(line) as CallResult;
  }

  /** As `call`; throws Error when it fails. */
  async must(...words: (string | number)[]): Promise<unknown> {
    const { value, error } = await this.call(...words);
    if (error) throw new Error(`${words.join(" ")}: ${error}`);
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close();
    await this.#child.status;
    await this.#lines.cancel();
  }
}

/** Dispose of it to remove all that it made. */
export class SocketHost implements Disposable {
  readonly path = `/run/pilus-sockets-${crypto.randomUUID().slice(0, 8)}`;
  readonly #cgroup: Temporary;
  readonly #stack = new DisposableStack();
  readonly #object: BpfObject;
  readonly services;
  readonly backends;
  readonly members;
  readonly affinity;
  readonly ipcache;
  readonly reverse;

  /** `host`: whether its namespace is the node's own. */
  constructor({ host = true, addresses = [] as string[] } = {}) {
    createNamespace(this.path);
    this.#stack.defer(() => deleteNamespace(this.path));
    using namespace = openNamespace(this.path);
    const cookie = inNamespace(namespace.fd, namespaceCookie);
    using netlink = NetlinkSocket.open({ netns: namespace.fd });
    setLink(netlink, "lo", { up: true });
    const { ifindex } = getLink(netlink, "lo");
    for (const text of addresses) addAddress(netlink, { ifindex, cidr: parseCidr(text) });

    this.#cgroup = this.#stack.use(temporaryCgroup());
    this.#object = this.#stack.use(BpfObject.open(readObject("socket")));
    this.#object.setConstants({ host_netns_cookie: host ? cookie : 0n });
    for (const name of this.#object.mapNames) {
      if (this.#object.mapLayout(name).maxEntries > 4096) this.#object.setMaxEntries(name, 4096);
    }
    this.#object.load();
    for (const [name, attachType] of Object.entries(SOCKET_HOOKS)) {
      using program = this.#object.program(name);
      this.#stack.use(attachCgroup(program, { cgroup: this.#cgroup.path, attachType }));
    }
    const open = <K, V>(descriptor: MapDescriptor<K, V>) =>
      this.#stack.use(new TypedMap(this.#object.map(descriptor.name), descriptor));
    this.services = open(maps.pilus_services);
    this.backends = open(maps.pilus_backends);
    this.members = open(maps.pilus_backend_index);
    this.affinity = open(maps.pilus_affinity);
    this.ipcache = open(maps.pilus_ipcache);
    this.reverse = open(maps.pilus_socket_revnat);
  }

  /** Writes a service whose backends are in rows `set` and up. */
  service(
    frontend: string,
    port: number,
    protocol: number,
    { set = 1, backends, id = 1, affinityS = 0, flags = 0 }: {
      set?: number;
      backends: readonly (readonly [address: string, port: number])[];
      id?: number;
      affinityS?: number;
      flags?: number;
    },
  ): void {
    backends.forEach(([address, port], i) => {
      this.backends.set(set + i, { ...NO_BACKEND, address: parseIp(address), port });
    });
    if (affinityS) {
      backends.forEach(([address, port], i) =>
        this.members.set({ address: parseIp(address), service: id, port }, [i + 1, i + 1])
      );
    }
    const side = { set, count: backends.length, table: 0, total: backends.length };
    this.services.set({ address: parseIp(frontend), port, protocol }, {
      id,
      flags,
      affinityS,
      side: [side, side],
    });
  }

  /** A process in the namespace, with the programs or without. */
  process({ translated = true } = {}): Sockets {
    const join = translated ? `echo 0 > ${this.#cgroup.path}/cgroup.procs && ` : "";
    const script = new URL("sockets.py", import.meta.url).pathname;
    const command = `${join}exec nsenter --net=${this.path} /usr/bin/python3 -SE ${script}`;
    return new Sockets(
      new Deno.Command("sh", {
        args: ["-c", command],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn(),
    );
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

const NO_BACKEND = {
  flags: 0,
  hop: {
    ifindex: 0,
    mtu: 0,
    nextMac: new Uint8Array(6),
    ownMac: new Uint8Array(6),
    resolved: 0n,
  },
  hits: 0n,
};

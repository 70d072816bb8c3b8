/** Throw-away surroundings for tests: a bpffs, a veth pair and a cgroup, all gone when disposed. */

import { bind, mount, recv, send, socket, umount } from "../ffi/libc.ts";
import { KernelError } from "../kernel_error.ts";

export interface Temporary extends Disposable {
  readonly path: string;
}

/** A bpffs of its own in a fresh directory. */
export function temporaryBpffs(): Temporary {
  const path = Deno.makeTempDirSync({ prefix: "bpffs-" });
  mount("bpf", path, "bpf", 0);
  return {
    path,
    [Symbol.dispose]() {
      umount(path);
      Deno.removeSync(path);
    },
  };
}

export interface Veth extends Disposable {
  readonly name: string;
  readonly ifindex: number;
}

let veths = 0;

/** A veth pair that is up, without addresses. */
export function temporaryVeth(): Veth {
  const name = `bt${Deno.pid}x${veths++}`;
  ip("link", "add", name, "type", "veth", "peer", "name", `${name}p`);
  ip("link", "set", name, "up");
  ip("link", "set", `${name}p`, "up");
  return {
    name,
    ifindex: Number(Deno.readTextFileSync(`/sys/class/net/${name}/ifindex`)),
    [Symbol.dispose]: () => ip("link", "delete", name),
  };
}

/** A pair of netkit devices that are up, by the primary's name. Throws KernelError where there are none. */
export function temporaryNetkit(): Veth {
  const name = `bn${Deno.pid}x${veths++}`;
  using netlink = socket(16, 3, 0);
  const message = new DataView(new ArrayBuffer(32 + 20 + 16));
  message.setUint32(0, message.byteLength, true);
  message.setUint16(4, 16, true); // RTM_NEWLINK
  message.setUint16(6, 0x605, true); // request, ack, exclusive, create
  const attribute = (at: number, type: number, length: number, text: string) => {
    message.setUint16(at, length, true);
    message.setUint16(at + 2, type, true);
    new Uint8Array(message.buffer).set(new TextEncoder().encode(text), at + 4);
  };
  attribute(32, 3, 4 + name.length + 1, name); // IFLA_IFNAME
  attribute(52, 18, 16, ""); // IFLA_LINKINFO
  attribute(56, 1, 4 + 7, "netkit"); // IFLA_INFO_KIND
  send(netlink.fd, new Uint8Array(message.buffer));
  const answer = new Uint8Array(4096);
  recv(netlink.fd, answer);
  const code = new DataView(answer.buffer).getInt32(16, true);
  if (code < 0) {
    const hint = "the kernel has no netkit (Linux 6.7, CONFIG_NETKIT)";
    throw new KernelError({ operation: "make", target: name, errno: -code, hint });
  }
  const number = (file: string) => Number(Deno.readTextFileSync(`/sys/class/net/${name}/${file}`));
  const peer = [...Deno.readDirSync("/sys/class/net")].map((entry) => entry.name).find((other) =>
    Deno.readTextFileSync(`/sys/class/net/${other}/ifindex`).trim() === String(number("iflink"))
  )!;
  ip("link", "set", name, "up");
  ip("link", "set", peer, "up");
  return {
    name,
    ifindex: number("ifindex"),
    [Symbol.dispose]: () => ip("link", "delete", name),
  };
}

/** Sends a frame out of a device. */
export function sendFrame(ifindex: number): void {
  const AF_PACKET = 17, SOCK_RAW = 3;
  using raw = socket(AF_PACKET, SOCK_RAW, 0);
  const address = new DataView(new ArrayBuffer(20)); // struct sockaddr_ll
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, 0x0800);
  address.setInt32(4, ifindex, true);
  bind(raw.fd, new Uint8Array(address.buffer));
  const frame = new Uint8Array(60).fill(0xff, 0, 6);
  frame[12] = 8;
  frame[14] = 0x45;
  send(raw.fd, frame);
}

/** Where cgroup v2 is mounted. */
export function cgroupRoot(): string {
  const root = Deno.readTextFileSync("/proc/self/mounts").split("\n")
    .map((line) => line.split(" ")).find((fields) => fields[2] === "cgroup2")?.[1];
  if (!root) throw new Error("No cgroup v2 is mounted");
  return root;
}

/** An empty cgroup v2. */
export function temporaryCgroup(): Temporary {
  const root = cgroupRoot();
  const path = Deno.makeTempDirSync({ dir: root, prefix: "bpf-test-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path) };
}

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args }).outputSync();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

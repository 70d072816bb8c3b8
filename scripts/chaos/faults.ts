/** What happens to nodes: each kind once, as data. */

import type { Lab, LabNode, LabPod } from "../../cli/lab/lab.ts";
import { delay } from "../../cli/lab/host.ts";
import * as faults from "../../tests/lab/faults.ts";
import { TUNNEL_DEVICE } from "../../agent/node/config.ts";

export const METRICS_PORT = 9962;
const FLOOD = 700;

/** What a fault has to work with. */
export interface Stage {
  lab: Lab;
  /** Any number below the bound, from the run's seed. */
  random: (below: number) => number;
  podsOf(node: LabNode): readonly LabPod[];
}

/** A kind of fault. */
export interface FaultKind {
  name: string;
  /** Whether it may take programs off their hooks. */
  opens?: true;
  /**
   * Resolves when it is made, or over where it is one that lasts; to the pods whose connections it
   * may cut.
   */
  make(node: LabNode, stage: Stage): Promise<readonly LabPod[] | void> | void;
}

function anyPod(node: LabNode, { random, podsOf }: Stage): LabPod {
  const pods = podsOf(node);
  return pods[random(pods.length)]!;
}

/** Ends the agent and starts it again after a while, as its supervisor would. */
async function restart(node: LabNode, signal: Deno.Signal, { random }: Stage): Promise<void> {
  await node.stopAgent(signal);
  await delay(random(2000));
  node.startAgent();
}

/** Connections that send half a request and stay for a while. */
async function flood(node: LabNode, { lab, random }: Stage, unix: boolean): Promise<void> {
  const from = unix ? node : lab.outside;
  const address = unix ? [node.socket] : [node.ipv4, String(METRICS_PORT)];
  const script = `
import socket, sys, time
address = sys.argv[3] if len(sys.argv) == 4 else (sys.argv[3], int(sys.argv[4]))
kept = []
end = time.monotonic() + float(sys.argv[2])
for _ in range(int(sys.argv[1])):
    s = socket.socket(socket.AF_UNIX if len(sys.argv) == 4 else socket.AF_INET)
    s.settimeout(0.5)
    try:
        s.connect(address)
        s.send(b"GET / HTTP/1.1\\r\\nhost: x\\r\\nx-a: ")
    except OSError:
        pass
    kept.append(s)
    if time.monotonic() > end:
        break
time.sleep(max(0, end - time.monotonic()))
`;
  const seconds = String(1 + random(3));
  await from.exec(["/usr/bin/python3", "-c", script, String(FLOOD), seconds, ...address]);
}

/** A manifest that is there for a while. */
async function hostileFile({ lab, random }: Stage, name: string, text: string): Promise<void> {
  lab.apply(name, text);
  await delay(1000 + random(2000));
  lab.remove(name);
}

const HOSTILE: Record<string, () => string> = {
  "nested": () => "[".repeat(100_000),
  "list in list": () => '{"kind":"List","apiVersion":"v1","items":['.repeat(2000),
  "many parts": () => "a:\n" + "- b\n".repeat(2_000_000),
  "many keys": () => Array.from({ length: 60_000 }, (_, i) => `k${i}: 1\n`).join(""),
  "billion laughs": () =>
    "a0: &a0 x\n" +
    Array.from(
      { length: 30 },
      (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}*a${i}]\n`,
    ).join(""),
  "not UTF-8 and control characters": () => "\x00\x1b[31m\ufffd: [",
  "a name of the prototype": () =>
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"__proto__","namespace":"constructor"},' +
    '"spec":{"nodeName":"__proto__","__proto__":{"x":1}}}',
};

export const FAULTS: readonly FaultKind[] = [
  { name: "bpffs unmounted", opens: true, make: faults.unmountBpffs },
  {
    name: "links of a pod detached",
    opens: true,
    make: (node, stage) => faults.detachDevice(node, anyPod(node, stage).hostDevice),
  },
  {
    name: "links of all pods detached",
    opens: true,
    make(node, { podsOf }) {
      for (const { hostDevice } of podsOf(node)) faults.detachDevice(node, hostDevice);
    },
  },
  {
    name: "links of the tunnel detached",
    opens: true,
    make: (node) => faults.detachDevice(node, "tunnel"),
  },
  {
    name: "links of the device detached",
    opens: true,
    make: (node) => faults.detachDevice(node, "eth0"),
  },
  {
    name: "links of XDP and sockets detached",
    opens: true,
    make: (node) =>
      faults.detachLinks(node, (pin) => pin.endsWith("-xdp") || pin.startsWith("socket-")),
  },
  {
    name: "all links detached",
    opens: true,
    make: (node) => faults.detachLinks(node, (pin) => !pin.includes("sockmap")),
  },
  { name: "pins removed", opens: true, make: faults.removePins },
  {
    name: "pins of maps removed",
    make(node) {
      const directory = `${node.directory}/bpf/pilus/maps`;
      for (const { name } of Deno.readDirSync(directory)) Deno.removeSync(`${directory}/${name}`);
    },
  },
  { name: "tunnel deleted", make: faults.deleteTunnel },
  { name: "tunnel down", make: faults.downTunnel },
  {
    name: "tunnel replaced by another device",
    async make(node) {
      await faults.deleteTunnel(node);
      await node.exec(["ip", "link", "add", TUNNEL_DEVICE, "type", "dummy"]);
    },
  },
  {
    name: "IPv4 forwarding off",
    make: (node) => faults.clearSysctl(node, "ipv4.ip_forward"),
  },
  {
    name: "IPv6 forwarding off",
    make: (node) => faults.clearSysctl(node, "ipv6.conf.all.forwarding"),
  },
  {
    name: "router address removed",
    make: (node, { random }) => faults.removeRouterAddress(node, random(2) ? 4 : 6),
  },
  {
    name: "a pod's veth deleted",
    async make(node, stage) {
      const pod = anyPod(node, stage);
      await faults.deletePodDevice(node, pod);
      return [pod];
    },
  },
  { name: "device made anew", make: (node, { lab }) => faults.renewDevice(lab, node) },
  { name: "agent killed", make: (node, stage) => restart(node, "SIGKILL", stage) },
  { name: "agent stopped", make: (node, stage) => restart(node, "SIGTERM", stage) },
  { name: "flood of the metrics' port", make: (node, stage) => flood(node, stage, false) },
  { name: "flood of the socket", make: (node, stage) => flood(node, stage, true) },
  ...Object.entries(HOSTILE).map(([name, text]): FaultKind => ({
    name: `hostile file: ${name}`,
    make: (_, stage) => hostileFile(stage, `hostile-${name.replaceAll(" ", "-")}`, text()),
  })),
  {
    name: "hostile file: a circle of links",
    async make(_, { lab, random }) {
      const path = `${lab.manifests}/loop`;
      Deno.symlinkSync(".", path);
      await delay(1000 + random(2000));
      Deno.removeSync(path);
    },
  },
];

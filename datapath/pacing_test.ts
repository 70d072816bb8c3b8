/** Departures of a pod's packets as the queues of a device keep them. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { attachTc } from "./bpf/mod.ts";
import { KernelError } from "./bpf/kernel_error.ts";
import { EndpointFlags } from "./maps/generated.ts";
import { parseCidr, parseIp } from "./net/ip.ts";
import { replaceNeighbour } from "./net/neighbour.ts";
import { deleteQdisc, listQdiscs, replaceQdisc } from "./net/qdisc.ts";
import { replaceRoute } from "./net/route.ts";
import { both } from "./testdata/families.ts";
import { DEVICE_IFINDEX, POD, TestNode, WORLD } from "./testdata/node.ts";
import { ETHERNET_HEADER, udpFrame } from "./testdata/packets.ts";

const SCRIPT = fromFileUrl(new URL("./testdata/paced.py", import.meta.url));
const FQ = { ifindex: DEVICE_IFINDEX, kind: "fq", handle: 0x10_0000 };
/** As many as fq keeps of one flow, and some less. */
const COUNT = 90, LENGTH = 1400;
/** Bytes per second. */
const RATES = { "8 Mbit/s": 1_000_000, "1 Gbit/s": 125_000_000 };

/** Puts fq at the device; false when the kernel has none, which it says. */
function hasFq({ netlink }: TestNode): boolean {
  try {
    replaceQdisc(netlink, FQ);
    return true;
  } catch (error) {
    assert(error instanceof KernelError && error.code === "ENOENT", String(error));
    return false;
  }
}

both("fq keeps the times of departure", (family) => {
  using node = new TestNode({ routing_mode: 0 });
  if (!hasFq(node)) return;
  const v4 = family === "ipv4";
  const gateway = parseIp(WORLD[family]);
  const destination = parseCidr(`${WORLD[family]}/${v4 ? 32 : 128}`);
  replaceRoute(node.netlink, { destination, ifindex: DEVICE_IFINDEX });
  const mac = Uint8Array.of(2, 9, 9, 9, 9, 9);
  replaceNeighbour(node.netlink, { ifindex: DEVICE_IFINDEX, ip: gateway, mac });
  using _ = attachTc(node.program("from_pod"), { ifindex: POD.ifindex, direction: "ingress" });
  node.setEndpoint(POD, { flags: EndpointFlags.EGRESS_LIMITED });
  const frame = udpFrame({
    source: POD[family],
    destination: WORLD[family],
    sourcePort: 5000,
    destinationPort: 7000,
    sourceMac: POD.mac,
    destinationMac: POD.hostMac,
    payload: new Uint8Array(LENGTH - ETHERNET_HEADER - (v4 ? 28 : 48)).fill(7),
  });
  for (const [name, rate] of Object.entries(RATES)) {
    const row = { egress: BigInt(rate), ingress: 0n, departs: 0n, arrived: 0n };
    node.maps.pilus_bandwidth.set(POD.ifindex, row);
    const hex = [...frame].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const { stdout, stderr } = new Deno.Command("/usr/bin/python3", {
      args: [SCRIPT, `p${POD.ifindex}`, `p${DEVICE_IFINDEX}`, `${COUNT}`, hex],
    }).outputSync();
    assertEquals(new TextDecoder().decode(stderr), "");
    const { came } = JSON.parse(new TextDecoder().decode(stdout));
    const least = (COUNT - 1) * LENGTH / rate;
    assert(came >= least * 0.99, `${name}: ${came} s, and the least is ${least} s`);
  }
});

Deno.test("qdiscs are listed, replaced and deleted", () => {
  using node = new TestNode();
  const kinds = () => listQdiscs(node.netlink, DEVICE_IFINDEX).map(({ kind }) => kind);
  const before = kinds();
  const fifo = { ifindex: DEVICE_IFINDEX, kind: "pfifo", handle: 0x7069 << 16 };
  replaceQdisc(node.netlink, fifo);
  assertEquals(listQdiscs(node.netlink, DEVICE_IFINDEX), [fifo]);
  deleteQdisc(node.netlink, fifo);
  assertEquals(kinds(), before);
  const unknown = { ...fifo, kind: "nothing" };
  assertThrows(() => replaceQdisc(node.netlink, unknown), KernelError, "ENOENT");
});

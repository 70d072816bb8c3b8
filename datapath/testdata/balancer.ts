/** A node that balances load: services of every mode, with a backend here and others elsewhere. */

import type { VariableValue } from "../bpf/mod.ts";
import { IpcacheFlags, ServiceFlags } from "../maps/generated.ts";
import { parseCidr, parseIp } from "../net/ip.ts";
import { addAddress } from "../net/address.ts";
import { replaceNeighbour } from "../net/neighbour.ts";
import { replaceRoute } from "../net/route.ts";
import { DEVICE_IFINDEX, MAGLEV_SIZE, NODE, OTHER_NODE, POD, REMOTE, TestNode } from "./node.ts";
import { FAMILIES } from "./families.ts";

/** How a packet gets to a backend elsewhere. */
export const MODES = {
  snat: 0,
  ipip: ServiceFlags.DSR_IPIP,
  option: ServiceFlags.DSR_OPTION,
} as const;

export type Mode = keyof typeof MODES;

/** The balanced address of both families. */
export const VIP = { ipv4: "203.0.113.80", ipv6: "2001:db8:cafe::80" };

/** Port of the address by where the backend is, and of the backend. */
export const PORTS = { elsewhere: 80, here: 81, random: 82, affinity: 83, ranges: 84, inside: 85 };
export const BACKEND_PORT = 8080;

/** The link's other end: a router to the world, and the node of the backend elsewhere. */
export const GATEWAY_MAC = Uint8Array.of(2, 9, 9, 9, 9, 9);
export const BACKEND_MAC = Uint8Array.of(2, 8, 8, 8, 8, 8);

const TABLE = 1;

/** A node with native routing, routes and neighbours, and the services of {@linkcode PORTS}. */
export function balancerNode(
  mode: Mode,
  constants: Record<string, VariableValue> = {},
): TestNode {
  const node = new TestNode({ routing_mode: 0, ...constants });
  const { netlink, maps } = node;
  node.setTable(TABLE, () => 0);
  for (const family of FAMILIES) {
    const v4 = family === "ipv4";
    addAddress(netlink, {
      ifindex: DEVICE_IFINDEX,
      cidr: parseCidr(v4 ? `${NODE.ipv4}/24` : `${NODE.ipv6}/64`),
    });
    const gateway = parseIp(OTHER_NODE[family]);
    replaceNeighbour(netlink, { ifindex: DEVICE_IFINDEX, ip: gateway, mac: GATEWAY_MAC });
    const backend = parseIp(REMOTE[family]);
    replaceNeighbour(netlink, { ifindex: DEVICE_IFINDEX, ip: backend, mac: BACKEND_MAC });
    const route = (destination: string, via?: Uint8Array<ArrayBuffer>) =>
      replaceRoute(netlink, {
        destination: parseCidr(destination),
        ifindex: DEVICE_IFINDEX,
        ...(via ? { via } : {}),
      });
    route(OTHER_NODE[family]);
    route(REMOTE[family]);
    route(v4 ? "198.51.100.0/24" : "2001:db8:ffff::/48", gateway);
    maps.pilus_ipcache.set(parseIp(VIP[family]), {
      identity: 2,
      flags: IpcacheFlags.SERVICE,
      ifindex: 0,
      node: new Uint8Array(16),
    });
    const elsewhere = { address: REMOTE[family], port: BACKEND_PORT };
    const here = { address: POD[family], port: BACKEND_PORT, flags: 1 };
    const flags = ServiceFlags.EXTERNAL | MODES[mode];
    const set = v4 ? 100 : 200;
    const vip = VIP[family];
    node.setService(vip, PORTS.elsewhere, set, [elsewhere], { id: 10, flags, table: TABLE });
    node.setService(vip, PORTS.here, set + 10, [here], { id: 11, flags, table: TABLE });
    node.setService(vip, PORTS.random, set + 20, [elsewhere], { id: 12, flags });
    node.setService(vip, PORTS.affinity, set + 30, [elsewhere], {
      id: 13,
      flags,
      table: TABLE,
      affinityS: 60,
    });
    node.setService(vip, PORTS.ranges, set + 40, [elsewhere], {
      id: 14,
      flags: flags | ServiceFlags.SOURCE_RANGES,
      table: TABLE,
    });
    node.setService(vip, PORTS.inside, set + 50, [elsewhere], { id: 15, flags: 0 });
    for (const protocol of [6, 17]) {
      maps.pilus_dsr_frontends.set({
        frontend: parseIp(vip),
        backend: parseIp(POD[family]),
        port: PORTS.elsewhere,
        protocol,
      }, (BACKEND_PORT >> 8) | (BACKEND_PORT & 255) << 8);
    }
  }
  return node;
}

/** The slot of a Maglev table that never changed. */
export const slot = (index: number) => index | index << 14;

export { MAGLEV_SIZE };

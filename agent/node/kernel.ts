/** The kernel as this agent has opened it: devices, loaded programs, maps. */

import { Loader } from "../../datapath/loader.ts";
import { chooseSockmap, type SockmapState } from "../../datapath/sockmap.ts";
import { openMaps, type PilusMaps } from "../../datapath/maps/mod.ts";
import { NetlinkSocket } from "../../datapath/net/netlink.ts";
import { writeSysctls } from "../../datapath/net/netns.ts";
import type { Table } from "../core/table.ts";
import { type NodeDevice, requireDevices } from "../sources/kernel/devices.ts";
import type { KernelFacts } from "../sources/kernel/kernel_facts.ts";
import { keepAdvertisements, NODE_SYSCTLS } from "./attachments/sysctls.ts";
import { type AgentConfig, VXLAN_OVERHEAD } from "./config.ts";
import type { ClusterNode } from "../cluster/rows.ts";
import { ensureTunnel, raiseTunnel, removeTunnel } from "./nodes/tunnel.ts";

/** See the module. Disposing closes it and leaves everything in place. */
export interface Kernel extends Disposable {
  netlink: NetlinkSocket;
  /** What the kernel has, by its own notices. */
  facts: KernelFacts;
  /** The node's devices; the first one leads to the other nodes. */
  devices: Table<NodeDevice>;
  /** The smallest MTU of the devices when the agent started, in bytes. */
  deviceMtu: number;
  /** ifindex of the tunnel device; 0: native routing. */
  tunnel: number;
  loader: Loader;
  maps: PilusMaps;
  sockmap: SockmapState;
  /** Sets the tunnel up for this node's addresses. Returns the MTU of the way to other nodes' pods, in bytes. */
  raise(self: ClusterNode): number;
}

/** Opens the kernel. Throws KernelError or Error that names the fix. */
export async function openKernel(
  config: AgentConfig,
  facts: KernelFacts,
  devices: Table<NodeDevice>,
): Promise<Kernel> {
  const stack = new DisposableStack();
  try {
    const netlink = stack.use(NetlinkSocket.open());
    requireDevices(devices, facts, config.devices);
    const deviceMtu = Math.min(...devices.rows().map(({ mtu }) => mtu));
    const vxlan = config.routing === "vxlan";
    const tunnel = vxlan
      ? ensureTunnel(netlink, config.tunnelPort, deviceMtu - VXLAN_OVERHEAD.ipv6)
      : 0;
    if (!vxlan) removeTunnel(netlink);
    keepAdvertisements(devices.rows().map(({ name }) => name));
    writeSysctls(NODE_SYSCTLS.map(({ name, value }) => [name, value]));
    const choice = await chooseSockmap(config.sockmap);
    const loader = stack.use(
      await Loader.load({
        bpffs: config.bpffs,
        routing: config.routing,
        masquerade: config.masquerade,
        nodeMacCheck: config.nodeMacCheck,
        tunnelIfindex: tunnel,
        tunnelPort: config.tunnelPort,
        maglevSize: config.maglevSize,
        natPortRange: config.natPortRange,
        sockmap: choice.on,
        mapSizes: config.mapSizes,
      }),
    );
    const maps = stack.use(openMaps(loader.mapDirectory));
    const sockmap = loader.sockmapError
      ? { on: false, reason: loader.sockmapError.message }
      : choice;
    const owned = stack.move();
    return {
      netlink,
      facts,
      devices,
      deviceMtu,
      tunnel,
      loader,
      maps,
      sockmap,
      raise(self) {
        if (!vxlan) return deviceMtu;
        const mtu = deviceMtu - (self.ipv4 ? VXLAN_OVERHEAD.ipv4 : VXLAN_OVERHEAD.ipv6);
        raiseTunnel(netlink, mtu);
        return mtu;
      },
      [Symbol.dispose]: () => owned.dispose(),
    };
  } catch (error) {
    stack.dispose();
    throw error;
  }
}

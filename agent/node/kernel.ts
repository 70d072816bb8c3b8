/** The kernel as this agent has opened it: devices, loaded programs, maps. */

import { checkRequirements, Loader } from "../../datapath/loader.ts";
import { chooseLocalPath, type LocalPathState } from "../../datapath/local_path.ts";
import { openMaps, type PilusMaps } from "../../datapath/maps/mod.ts";
import { NetlinkSocket } from "../../datapath/net/netlink.ts";
import { writeSysctls } from "../../datapath/net/netns.ts";
import { findDevices, type NodeDevice } from "../sources/kernel/devices.ts";
import { type AgentConfig, VXLAN_OVERHEAD } from "./config.ts";
import type { ClusterNode } from "../cluster/rows.ts";
import { ensureTunnel, raiseTunnel } from "./nodes/tunnel.ts";

/** See the module. Disposing closes it and leaves everything in place. */
export interface Kernel extends Disposable {
  netlink: NetlinkSocket;
  /** The node's devices; the first one leads to the other nodes. */
  devices: readonly NodeDevice[];
  /** The smallest MTU of the devices, in bytes. */
  deviceMtu: number;
  /** ifindex of the tunnel device; 0: native routing. */
  tunnel: number;
  loader: Loader;
  maps: PilusMaps;
  localPath: LocalPathState;
  /** Sets the tunnel up for this node's addresses. Returns the MTU of the way to other nodes' pods, in bytes. */
  raise(self: ClusterNode): number;
}

/** Opens the kernel. Throws KernelError or Error that names the fix. */
export async function openKernel(config: AgentConfig): Promise<Kernel> {
  checkRequirements(config.bpffs);
  const stack = new DisposableStack();
  try {
    const netlink = stack.use(NetlinkSocket.open());
    const devices = findDevices(netlink, config.devices);
    const deviceMtu = Math.min(...devices.map(({ mtu }) => mtu));
    const vxlan = config.routing === "vxlan";
    const tunnel = vxlan
      ? ensureTunnel(netlink, config.tunnelPort, deviceMtu - VXLAN_OVERHEAD.ipv6)
      : 0;
    prepareForwarding();
    const choice = await chooseLocalPath(config.localPath);
    const loader = stack.use(
      await Loader.load({
        bpffs: config.bpffs,
        routing: config.routing,
        masquerade: config.masquerade,
        tunnelIfindex: tunnel,
        tunnelPort: config.tunnelPort,
        maglevSize: config.maglevSize,
        natPortRange: config.natPortRange,
        localPath: choice.on,
        mapSizes: config.mapSizes,
      }),
    );
    const maps = stack.use(openMaps(loader.mapDirectory));
    const localPath = loader.localPathError
      ? { on: false, reason: loader.localPathError.message }
      : choice;
    const owned = stack.move();
    return {
      netlink,
      devices,
      deviceMtu,
      tunnel,
      loader,
      maps,
      localPath,
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

/** Routing between pods and the network; the stack's own reverse-path check does not know tunnels. */
function prepareForwarding(): void {
  writeSysctls([
    ["ipv4/ip_forward", "1"],
    ["ipv6/conf/all/forwarding", "1"],
    ["ipv4/conf/all/rp_filter", "0"],
  ]);
}

/** Programs at the node's devices, at its tunnel and at its sockets. */

import { NO_ADDRESS, parseIp } from "../../../datapath/net/ip.ts";
import type { WireState } from "../../../datapath/wire.ts";
import type { Log } from "../../core/log.ts";
import { Reconciler } from "../../core/reconciler.ts";
import type { AgentConfig } from "../config.ts";
import type { Kernel } from "../kernel.ts";
import { mapTable, mapTarget } from "../map_target.ts";
import type { Part } from "../part.ts";

/** Wires the node's devices to their map, and attaches what is loaded. */
export function attachmentsPart(
  { config, log, kernel: { loader, maps, devices, tunnel, localPath } }: {
    config: AgentConfig;
    log: Log;
    kernel: Kernel;
  },
): Part {
  const rows = mapTable<number, { ipv4: Uint8Array; ipv6: Uint8Array }>("devices", String);
  for (const { ifindex, ipv4, ipv6 } of devices) {
    rows.set({
      key: ifindex,
      value: {
        ipv4: ipv4 ? parseIp(ipv4) : NO_ADDRESS,
        ipv6: ipv6 ? parseIp(ipv6) : NO_ADDRESS,
      },
    });
  }
  const reconciler = new Reconciler({
    name: "devices",
    desired: rows,
    target: mapTarget(maps.pilus_devices),
    repairIntervalMs: config.repairInterval * 1000,
  });
  const xdp: WireState[] = [];
  return {
    name: "attachments",
    reconcilers: [reconciler],
    start() {
      for (const { name, ifindex } of devices) loader.attachDevice("host", ifindex, name);
      loader.detachWiresBut(devices.map(({ name }) => name));
      for (const { name, ifindex } of devices) {
        const state = loader.attachWire(ifindex, name, config.xdp);
        xdp.push(state);
        log.info("XDP", { ...state });
      }
      if (tunnel) loader.attachDevice("overlay", tunnel, "tunnel");
      loader.attachSockets(config.cgroup);
      if (localPath.on) loader.attachLocalPath(config.cgroup);
      else loader.detachLocalPath();
    },
    status: () => ({ devices: [...devices], xdp: [...xdp], localPath }),
    [Symbol.asyncDispose]: () => reconciler[Symbol.asyncDispose](),
  };
}

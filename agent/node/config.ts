/** What an agent is started with. */

import type { MapSizes, RoutingMode } from "../../datapath/loader.ts";
import type { LocalPathChoice } from "../../datapath/local_path.ts";
import type { XdpChoice } from "../../datapath/wire.ts";
export { MAP_SIZE_NAMES } from "../../datapath/loader.ts";
export type { MapSizes, RoutingMode } from "../../datapath/loader.ts";
export type { LocalPathChoice } from "../../datapath/local_path.ts";
export type { XdpChoice } from "../../datapath/wire.ts";
import type { LogLevel } from "../core/log.ts";

/** SNAT: the backend answers the balancer; DSR: the client; hybrid: DSR for TCP and SNAT for UDP. */
export type LbMode = "snat" | "dsr" | "hybrid";

/** An IP tunnel to the backend, or an option behind the IP header. */
export type DsrDispatch = "ipip" | "option";

/** How a backend is chosen: by a table that every node has alike, or by lot. */
export type LbAlgorithm = "maglev" | "random";

/** Primes that a Maglev table may have as its size; the same as Cilium's. */
export const MAGLEV_SIZES = [
  ...[251, 509, 1021, 2039, 4093, 8191],
  ...[16381, 32749, 65521, 131071],
] as const;

export interface AgentConfig {
  nodeName: string;
  /** Directory of Kubernetes manifests. */
  manifests: string;
  stateDir: string;
  /** Has the socket, `pilus.sock`. */
  runDir: string;
  /** A directory of our own on a bpffs. */
  bpffs: string;
  /** Directory of a cgroup v2: the sockets of its processes are translated. */
  cgroup: string;
  /** Names of the node's devices; empty: those with a default route. */
  devices: string[];
  /** Where packets of the devices are met. */
  xdp: XdpChoice;
  /** Whether TCP within the node goes from socket to socket. */
  localPath: LocalPathChoice;
  /** File of prefixes that the node does not listen to; empty: none. */
  prefilter: string;
  routing: RoutingMode;
  /** UDP port. */
  tunnelPort: number;
  /** Prefixes that pods' addresses come from, over all nodes. */
  clusterCidrs: string[];
  masquerade: boolean;
  /** How clients outside reach backends on other nodes; a Service may say otherwise. */
  lbMode: LbMode;
  /** What tells a backend's node of the frontend with DSR. */
  dsrDispatch: DsrDispatch;
  lbAlgorithm: LbAlgorithm;
  /** Slots of a Maglev table, one of {@linkcode MAGLEV_SIZES}. */
  maglevSize: number;
  /** Where node ports are taken from, the last one included. */
  nodePortRange: readonly [first: number, last: number];
  /** Source ports that masquerading chooses itself, the last one included. */
  natPortRange: readonly [first: number, last: number];
  /** Empty: no configuration is written. */
  cniConfDir: string;
  /** Empty: the binary is not installed. */
  cniBinDir: string;
  mapSizes: MapSizes;
  /** Seconds between comparisons of the kernel with the tables. */
  repairInterval: number;
  logLevel: LogLevel;
  /** HOST:PORT for /metrics; empty: none. */
  metrics: string;
}

/** Version of pilus. */
export const VERSION = "0.1.0";

/** The tunnel device. */
export const TUNNEL_DEVICE = "pilus_vxlan";

/** Bytes that VXLAN adds: outer Ethernet, IP, UDP, VXLAN and inner Ethernet less the outer Ethernet (RFC 7348). */
export const VXLAN_OVERHEAD = { ipv4: 50, ipv6: 70 } as const;

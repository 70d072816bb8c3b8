/** Types of the agent's configuration, and what no option changes. */

import type { AgentConfig } from "./options.ts";

export { type AgentConfig, MAGLEV_SIZES } from "./options.ts";
export type { RoutingMode } from "../../datapath/loader.ts";

/** SNAT: the backend answers the balancer; DSR: the client; hybrid: DSR for TCP and SNAT for UDP. */
export type LbMode = AgentConfig["lbMode"];

/** An IP tunnel to the backend, or an option behind the IP header. */
export type DsrDispatch = AgentConfig["dsrDispatch"];

/** How a backend is chosen: by a table that every node has alike, or at random. */
export type LbAlgorithm = AgentConfig["lbAlgorithm"];

/** Version of pilus. */
export const VERSION = "0.1.0";

/** The tunnel device. */
export const TUNNEL_DEVICE = "pilus_vxlan";

/** Bytes that VXLAN adds: outer Ethernet, IP, UDP, VXLAN and inner Ethernet less the outer Ethernet (RFC 7348). */
export const VXLAN_OVERHEAD = { ipv4: 50, ipv6: 70 } as const;

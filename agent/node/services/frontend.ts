/** An address, port and protocol by which a service is reached, and its backends. */

import { formatIp } from "../../../datapath/net/ip.ts";
import type { Balancing } from "./annotations.ts";
import type { BackendList } from "./backend.ts";
import type { Choice } from "./backend_choice.ts";

/** What makes an address a frontend. `Reserved`: no address at all, but a port of the node. */
export type FrontendKind =
  | "ClusterIP"
  | "NodePort"
  | "LoadBalancer"
  | "ExternalIP"
  | "HostPort"
  | "Reserved";

export interface Frontend {
  /** 16 bytes. */
  address: Uint8Array<ArrayBuffer>;
  port: number;
  protocol: "TCP" | "UDP";
  kind: FrontendKind;
  namespace: string;
  name: string;
  /** Empty for the one port without a name. */
  portName: string;
  /** Every backend of the family, chosen or not, sorted by address and port. */
  backends: BackendList;
  /** For clients in the cluster: pods and the node itself. */
  internal: Choice;
  /** For clients outside of the cluster. */
  external: Choice;
  /** How packets of external clients get to backends elsewhere. */
  forwarding: "snat" | "ipip" | "option";
  algorithm: Balancing["algorithm"];
  /** Seconds that a client keeps its backend; 0: no affinity. */
  affinityS: number;
  /** Prefixes of external clients that are let in; undefined: all. */
  sourceRanges?: readonly string[];
  externalTrafficPolicy: "Cluster" | "Local";
  internalTrafficPolicy: "Cluster" | "Local";
}

/** Whether external clients are answered. */
export function isExternal({ kind }: Frontend): boolean {
  return kind !== "ClusterIP" && kind !== "Reserved";
}

/** `address|port|protocol`, the key in the table. */
export function frontendKey(
  { address, port, protocol }: Pick<Frontend, "address" | "port" | "protocol">,
): string {
  return [formatIp(address), port, protocol].join("|");
}

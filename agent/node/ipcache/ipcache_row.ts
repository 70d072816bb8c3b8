/** What a prefix is, as a row. */

import { type Cidr, formatCidr, formatIp } from "../../../datapath/net/ip.ts";

/**
 * endpoint: of this node; remote: a pod of another; node: a node's own; vacant: of a node's pod CIDR,
 * and of no pod that is known; cidr: a policy's prefix.
 */
export type IpcacheKind = "endpoint" | "remote" | "node" | "vacant" | "cidr";

/** Bits of an address in the project's form. */
const ADDRESS_BITS = 128;

/** What a prefix is. */
export interface IpcacheRow {
  /** An address, or a prefix of more than one, as text: the key in the table. */
  prefix: string;
  identity: number;
  kind: IpcacheKind;
  /** The node at which the tunnel to it ends, 16 bytes; null: none is needed. */
  tunnel: Uint8Array<ArrayBuffer> | null;
  /** Of another node's own address: where the tunnel to that node ends. */
  node?: Uint8Array<ArrayBuffer>;
  /** The endpoint's number, of `endpoint`. */
  endpointId?: number;
}

/** A prefix as the table's key: that of a single address has no length. */
export function ipcacheKey(prefix: Cidr): string {
  return prefix.prefixLength === ADDRESS_BITS ? formatIp(prefix.address) : formatCidr(prefix);
}

/** Whether a row is of a single address. */
export function isAddress({ prefix }: Pick<IpcacheRow, "prefix">): boolean {
  return !prefix.includes("/");
}

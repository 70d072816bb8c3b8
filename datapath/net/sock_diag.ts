/**
 * Sockets as the kernel lists them, and their end from outside. Constants: include/uapi/linux/
 * sock_diag.h, inet_diag.h, include/net/tcp_states.h.
 */

import { isErrno } from "../bpf/kernel_error.ts";
import { formatIp, ipFromRaw, isIpv4 } from "./ip.ts";
import { NETLINK_SOCK_DIAG, NetlinkSocket } from "./netlink.ts";
import { AF_INET, AF_INET6, NetlinkBody, structOf } from "./netlink_message.ts";

const SOCK_DIAG_BY_FAMILY = 20, SOCK_DESTROY = 21;
const REQUEST_SIZE = 56, MESSAGE_SIZE = 72;
/** Where `struct inet_diag_sockid` begins in a request and in a message. */
const REQUEST_ID = 8, MESSAGE_ID = 4, ID_SIZE = 48;
const IPPROTO_TCP = 6, IPPROTO_UDP = 17;

/** Those with a peer: ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK and CLOSING. */
const CONNECTED = [1, 2, 4, 5, 8, 9, 11].reduce((bits, state) => bits | (1 << state), 0);

/** The other end of connections. */
export interface SocketPeer {
  /** 16 bytes. */
  address: Uint8Array<ArrayBuffer>;
  port: number;
  /** 6 for TCP, 17 for UDP. */
  protocol: number;
}

/**
 * Ends the sockets of a network namespace that are connected to one of `peers`: their next call fails
 * with ECONNABORTED, and one that waits fails now. Returns how many. `netns`: descriptor of the
 * namespace; the thread's own without. Throws KernelError EOPNOTSUPP when the kernel has no
 * CONFIG_INET_DIAG_DESTROY.
 */
export function destroySockets(
  peers: readonly SocketPeer[],
  { netns }: { netns?: number } = {},
): number {
  using netlink = NetlinkSocket.open({
    family: NETLINK_SOCK_DIAG,
    ...(netns === undefined ? {} : { netns }),
  });
  let destroyed = 0;
  for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
    const ofProtocol = peers.filter((peer) => peer.protocol === protocol);
    for (const [port, list] of Map.groupBy(ofProtocol, (peer) => peer.port)) {
      const addresses = new Set(list.map(({ address }) => formatIp(address)));
      // a socket of IPv6 may have a mapped peer
      const families = list.some(({ address }) => isIpv4(address))
        ? [AF_INET, AF_INET6]
        : [AF_INET6];
      for (const family of families) {
        for (const id of socketsTo(netlink, family, protocol, port)) {
          if (addresses.has(peerOf(id, family)) && destroy(netlink, family, protocol, id)) {
            destroyed++;
          }
        }
      }
    }
  }
  return destroyed;
}

function request(family: number, protocol: number, id: (bytes: Uint8Array) => void): NetlinkBody {
  return new NetlinkBody().struct(REQUEST_SIZE, (view) => {
    view.setUint8(0, family);
    view.setUint8(1, protocol);
    view.setUint32(4, CONNECTED, true);
    id(new Uint8Array(view.buffer, view.byteOffset + REQUEST_ID, ID_SIZE));
  });
}

/** The kernel's names of the sockets whose peer has that port. */
function socketsTo(
  netlink: NetlinkSocket,
  family: number,
  protocol: number,
  port: number,
): Uint8Array[] {
  const body = request(family, protocol, (id) => {
    id[2] = port >> 8;
    id[3] = port & 0xff;
  });
  return netlink.dump(SOCK_DIAG_BY_FAMILY, body, { operation: "list", target: "sockets" }).map(
    (row) => {
      structOf(row, MESSAGE_SIZE);
      return row.subarray(MESSAGE_ID, MESSAGE_ID + ID_SIZE);
    },
  );
}

function peerOf(id: Uint8Array, family: number): string {
  return formatIp(ipFromRaw(id.subarray(20, family === AF_INET ? 24 : 36)));
}

function destroy(
  netlink: NetlinkSocket,
  family: number,
  protocol: number,
  id: Uint8Array,
): boolean {
  try {
    netlink.request(SOCK_DESTROY, 0, request(family, protocol, (bytes) => bytes.set(id)), {
      operation: "end",
      target: "socket",
      hint: "EOPNOTSUPP: the kernel is built without CONFIG_INET_DIAG_DESTROY",
    });
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false; // it ended meanwhile
    throw error;
  }
}

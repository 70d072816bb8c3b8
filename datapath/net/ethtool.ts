/** What ethtool knows of a device. Constants: include/uapi/linux/ethtool.h, sockios.h. */

import { ioctl, socket } from "../bpf/ffi/libc.ts";
import { addressOf, fromCstring } from "../bpf/ffi/memory.ts";
import { isErrno } from "../bpf/kernel_error.ts";
import { AF_INET } from "./netlink_message.ts";
import { checkIfname } from "./link.ts";

const SOCK_DGRAM = 2, SIOCETHTOOL = 0x8946, ETHTOOL_GDRVINFO = 3;
/** Offloads by the command that sets each. */
const OFFLOADS = { txChecksum: 0x17 } as const;
const DRVINFO_SIZE = 196, IFNAMSIZ = 16, IFREQ_SIZE = 40;

/**
 * The name of a device's driver, in the calling thread's namespace; undefined when the driver does
 * not tell. Throws KernelError ENODEV when there is no such device.
 */
export function driverOf(name: string): string | undefined {
  checkIfname(name);
  using control = socket(AF_INET, SOCK_DGRAM, 0);
  const info = new Uint8Array(DRVINFO_SIZE);
  new DataView(info.buffer).setUint32(0, ETHTOOL_GDRVINFO, true);
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(name));
  new DataView(request.buffer).setBigUint64(IFNAMSIZ, addressOf(info), true);
  try {
    ioctl(control.fd, SIOCETHTOOL, request, "read the driver of", name);
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP")) return undefined;
    throw error;
  }
  return fromCstring(info.subarray(4, 36)) || undefined;
}

/** Switches an offload of a device on or off, in the calling thread's namespace. Throws KernelError. */
export function setOffload(name: string, offload: keyof typeof OFFLOADS, on: boolean): void {
  checkIfname(name);
  using control = socket(AF_INET, SOCK_DGRAM, 0);
  const value = new Uint8Array(8); // struct ethtool_value
  const view = new DataView(value.buffer);
  view.setUint32(0, OFFLOADS[offload], true);
  view.setUint32(4, Number(on), true);
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(name));
  new DataView(request.buffer).setBigUint64(IFNAMSIZ, addressOf(value), true);
  ioctl(control.fd, SIOCETHTOOL, request, `set ${offload} of`, name);
}

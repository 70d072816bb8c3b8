/** Ethernet addresses: six bytes, `02:00:00:00:00:01` as text. */

/** `text` as six bytes. Throws TypeError when it is none. */
export function parseMac(text: string): Uint8Array<ArrayBuffer> {
  if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text)) {
    throw new TypeError(`Not an Ethernet address: ${JSON.stringify(text)}`);
  }
  return Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16));
}

/** Where there is none. */
export const NO_MAC: Uint8Array<ArrayBuffer> = new Uint8Array(6);

export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** A random unicast address of the locally administered kind (IEEE 802, second bit of the first byte). */
export function randomMac(): Uint8Array<ArrayBuffer> {
  const mac = crypto.getRandomValues(new Uint8Array(6));
  mac[0] = (mac[0]! & 0xfc) | 0x02;
  return mac;
}

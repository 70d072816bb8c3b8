/** Protocols by name (IANA's numbers). */

export const PROTOCOLS = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 } as const;

const NAMES = new Map<number, string>(Object.entries(PROTOCOLS).map(([name, n]) => [n, name]));

/** The name of a protocol, or its number as text. */
export function protocolName(protocol: number): string {
  return NAMES.get(protocol) ?? String(protocol);
}

/** Protocols by name (IANA's numbers). */

export const PROTOCOLS = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 } as const;

const NAMES = new Map<number, string>(Object.entries(PROTOCOLS).map(([name, n]) => [n, name]));

/** The name of a protocol, or its number as text. */
export function protocolName(protocol: number): string {
  return NAMES.get(protocol) ?? String(protocol);
}

/** The number of a protocol that is given by name, in any case, or as a number; undefined for others. */
export function protocolNumber(text: string): number | undefined {
  const wanted = text.toLowerCase();
  for (const [number, name] of NAMES) if (name.toLowerCase() === wanted) return number;
  return /^[0-9]{1,3}$/.test(text) && Number(text) <= 255 ? Number(text) : undefined;
}

/** Whether packets of a protocol have ports. */
export function hasPorts(protocol: number): boolean {
  return protocol === PROTOCOLS.TCP || protocol === PROTOCOLS.UDP || protocol === PROTOCOLS.SCTP;
}

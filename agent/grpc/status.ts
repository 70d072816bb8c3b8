/** What a call of gRPC ends with. */

export const Status = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

const NAMES = new Map<number, string>(Object.entries(Status).map(([name, code]) => [code, name]));

/** A call that did not end with OK. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  /** One of {@linkcode Status}, or what another server says. */
  readonly code: number;

  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** The name of its code, as "UNAVAILABLE". */
  get codeName(): string {
    return NAMES.get(this.code) ?? String(this.code);
  }
}

/** A message as the field grpc-message: percent-encoded. */
export function encodeMessage(message: string): string {
  let text = "";
  for (const byte of new TextEncoder().encode(message.slice(0, 4096))) {
    text += byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}

/** The field grpc-message as text. What is wrong in it stays as it is. */
export function decodeMessage(field: string): string {
  try {
    return decodeURIComponent(field);
  } catch {
    return field;
  }
}

const UNITS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** The field grpc-timeout in milliseconds. Throws GrpcError. */
export function parseTimeout(field: string | undefined): number | undefined {
  if (field === undefined) return undefined;
  const [, count, unit] = /^(\d{1,8})([HMSmun])$/.exec(field) ?? [];
  if (count === undefined) {
    throw new GrpcError(Status.INTERNAL, `grpc-timeout is no time: ${field}`);
  }
  return Number(count) * UNITS[unit!]!;
}

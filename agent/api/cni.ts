/**
 * What the CNI plugin and the agent tell each other, and what both know of the specification (1.1.0).
 * The plugin in C gets its constants from here; see scripts/build.ts.
 */

/** Error codes of the specification; plugins have those from 100. */
export const CNI_ERROR = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  undecodable: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  failed: 100,
  unhealthy: 101,
} as const;

/** A failure as the runtime gets it. */
export class CniError extends Error {
  override readonly name = "CniError";
  readonly code: number;
  readonly details: string | undefined;

  constructor(code: number, message: string, details?: string) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** Versions that pilus speaks, oldest first. */
export const CNI_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

export type CniVersion = typeof CNI_VERSIONS[number];

/** Milliseconds that the plugin waits: below the limits of runtimes, so that they get our words. */
export const CNI_TIMEOUTS = {
  ADD: 60_000,
  DEL: 20_000,
  CHECK: 20_000,
  STATUS: 3_000,
  GC: 60_000,
  VERSION: 3_000,
} as const;

export type CniCommand = keyof typeof CNI_TIMEOUTS;

/** More bytes than any runtime's configuration has. */
export const MAX_CONFIG_BYTES = 1024 * 1024;

/** What a runtime sets, for the agent to read. */
export const CNI_VARIABLES = [
  "CNI_COMMAND",
  "CNI_CONTAINERID",
  "CNI_NETNS",
  "CNI_IFNAME",
  "CNI_ARGS",
] as const;

/** `POST /v1/cni`: what the runtime has given to the plugin. */
export interface CniCall {
  /** The variables that are set. */
  env: Partial<Record<string, string>>;
  /** All that was on stdin. */
  config: string;
}

/** A failure in the specification's form. */
export interface CniFailure {
  cniVersion: CniVersion;
  code: number;
  msg: string;
  details?: string;
}

/** Answer to `POST /v1/cni`: what the plugin prints; nothing when there is neither. */
export interface CniAnswer {
  result?: unknown;
  error?: CniFailure;
}

/** An attachment as the runtime names it. */
export interface CniAttachment {
  containerId: string;
  ifname: string;
}

export function isCniVersion(value: unknown): value is CniVersion {
  return CNI_VERSIONS.includes(value as CniVersion);
}

/** The error in the form of its version, or of the newest when that is not known. */
export function cniFailure({ code, message, details }: CniError, version: unknown): CniFailure {
  return {
    cniVersion: isCniVersion(version) ? version : CNI_VERSIONS.at(-1)!,
    code,
    msg: message,
    ...(details === undefined ? {} : { details }),
  };
}

/** The start of a value's JSON, for messages. */
export function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "missing").slice(0, 100);
}

/** The JSON object on stdin. Throws CniError 6 when it is none. */
export function decodeConfig(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const message = `Cannot decode the configuration on stdin: ${(error as Error).message}`;
    throw new CniError(CNI_ERROR.undecodable, message);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  const message = `Cannot decode the configuration on stdin: not an object: ${shown(value)}`;
  throw new CniError(CNI_ERROR.undecodable, message);
}

/** An absolute path without steps up; undefined when it is not set. Throws CniError 7. */
export function configPath(config: Record<string, unknown>, key: string): string | undefined {
  const value = config[key];
  if (value === undefined) return undefined;
  if (
    typeof value === "string" && value.startsWith("/") && !value.includes("\0") &&
    !value.split("/").includes("..") && value.length <= 4096
  ) return value;
  throw new CniError(
    CNI_ERROR.invalidConfig,
    `Invalid configuration: ${key} must be an absolute path without "..", and is ${shown(value)}`,
  );
}

type Env = (name: string) => string | undefined;

/** The variable's value. Throws CniError 4 when it is missing, or `check` says no. */
export function variable(env: Env, name: string, check: (value: string) => boolean): string {
  const value = env(name);
  if (value !== undefined && value !== "" && check(value)) return value;
  throw new CniError(
    CNI_ERROR.invalidEnvironment,
    value === undefined || value === ""
      ? `Environment variable ${name} is missing`
      : `Environment variable ${name} is invalid: ${shown(value)}`,
  );
}

const CONTAINER_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$/;

/** The longest name of a device, in bytes: IFNAMSIZ without its end. */
const MAX_IFNAME = 15;

function isIfname(value: string): boolean {
  const printable = [...value].every((char) => char > " " && char !== "\x7f");
  return printable && /^[^\s/:]+$/.test(value) && value !== "." && value !== ".." &&
    new TextEncoder().encode(value).length <= MAX_IFNAME;
}

/** CNI_CONTAINERID and CNI_IFNAME. Throws CniError 4. */
export function attachmentOf(env: Env): CniAttachment {
  return {
    containerId: variable(env, "CNI_CONTAINERID", (value) => CONTAINER_ID.test(value)),
    ifname: variable(env, "CNI_IFNAME", isIfname),
  };
}

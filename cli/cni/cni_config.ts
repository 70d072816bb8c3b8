/** What a runtime hands to a CNI plugin, checked: environment and configuration (CNI specification 1.1.0, sections 1 and 2). */

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

/** An attachment as the runtime names it. */
export interface CniAttachment {
  containerId: string;
  ifname: string;
}

/** The plugin's configuration. */
export interface CniConfig {
  cniVersion: CniVersion;
  name: string;
  /** Path of the agent's socket. */
  socket?: string;
  /** Where deletions are queued while the agent is down. */
  stateDir?: string;
  prevResult?: Record<string, unknown>;
  /** Of GC: what is still in use. */
  validAttachments?: CniAttachment[];
}

/** More than any runtime sends. */
export const MAX_CONFIG_BYTES = 1024 * 1024;

const KNOWN_FIELDS = new Set([
  "cniVersion",
  "name",
  "type",
  "socket",
  "stateDir",
  "logLevel",
  "prevResult",
  "runtimeConfig",
  "capabilities",
  "args",
  "dns",
]);

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

const MAX_CONTAINER_ID = 200;

function invalid(message: string): never {
  throw new CniError(CNI_ERROR.invalidConfig, `Invalid configuration: ${message}`);
}

function record(value: unknown): Record<string, unknown> | undefined {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  return isRecord ? value as Record<string, unknown> : undefined;
}

/** An absolute path without steps up; undefined when it is not set. */
function path(config: Record<string, unknown>, key: string): string | undefined {
  const value = config[key];
  if (value === undefined) return undefined;
  if (
    typeof value !== "string" || !value.startsWith("/") || value.includes("\0") ||
    value.split("/").includes("..") || value.length > 4096
  ) invalid(`${key} must be an absolute path without "..", and is ${shown(value)}`);
  return value;
}

const shown = (value: unknown) => (JSON.stringify(value) ?? "missing").slice(0, 100);

function isVersion(value: unknown): value is CniVersion {
  return CNI_VERSIONS.includes(value as CniVersion);
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
  const config = record(value);
  if (!config) {
    const message = `Cannot decode the configuration on stdin: not an object: ${shown(value)}`;
    throw new CniError(CNI_ERROR.undecodable, message);
  }
  return config;
}

/**
 * Checks a configuration. With `lenient`, fields that pilus does not know are no error: what was
 * made must be deletable. Throws CniError.
 */
export function checkConfig(
  config: Record<string, unknown>,
  { lenient = false }: { lenient?: boolean } = {},
): CniConfig {
  const { cniVersion, name, type, prevResult } = config;
  if (!isVersion(cniVersion)) {
    throw new CniError(
      CNI_ERROR.incompatibleVersion,
      `Incompatible cniVersion ${shown(cniVersion)}: pilus speaks ${CNI_VERSIONS.join(", ")}`,
    );
  }
  if (typeof name !== "string" || !NAME.test(name)) {
    invalid(`name must be letters, digits and _ . -, and is ${shown(name)}`);
  }
  if (typeof type !== "string" || type === "") invalid(`type must be text, and is ${shown(type)}`);
  if (!lenient) {
    const unknown = Object.keys(config).find((key) =>
      !KNOWN_FIELDS.has(key) && !key.startsWith("cni.dev/")
    );
    if (unknown !== undefined) {
      throw new CniError(
        CNI_ERROR.unsupportedField,
        `Unsupported field ${shown(unknown)} in the configuration: ` +
          (unknown === "ipam" ? "pilus gives addresses itself: " : "") + "remove it",
      );
    }
  }
  if (prevResult !== undefined && !record(prevResult)) invalid("prevResult must be an object");
  const socket = path(config, "socket"), stateDir = path(config, "stateDir");
  const attachments = config["cni.dev/valid-attachments"];
  return {
    cniVersion,
    name,
    ...(socket === undefined ? {} : { socket }),
    ...(stateDir === undefined ? {} : { stateDir }),
    ...(prevResult === undefined ? {} : { prevResult: prevResult as Record<string, unknown> }),
    ...(attachments === undefined ? {} : { validAttachments: checkAttachments(attachments) }),
  };
}

function checkAttachments(value: unknown): CniAttachment[] {
  if (value === null) return []; // An empty list of Go.
  if (!Array.isArray(value)) return invalid("cni.dev/valid-attachments must be a list");
  return value.map((entry) => {
    const { containerID, ifname } = record(entry) ?? {};
    if (typeof containerID !== "string" || typeof ifname !== "string") {
      return invalid("cni.dev/valid-attachments must hold objects of containerID and ifname");
    }
    return { containerId: containerID, ifname };
  });
}

function variable(name: string, value: string | undefined, check: (value: string) => boolean) {
  if (value !== undefined && value !== "" && check(value)) return value;
  throw new CniError(
    CNI_ERROR.invalidEnvironment,
    value === undefined || value === ""
      ? `Environment variable ${name} is missing`
      : `Environment variable ${name} is invalid: ${shown(value)}`,
  );
}

function isIfname(value: string): boolean {
  const printable = [...value].every((char) => char > " " && char !== "\x7f");
  return printable && /^[^\s/:]{1,15}$/.test(value) && value !== "." && value !== "..";
}

/** CNI_CONTAINERID and CNI_IFNAME. Throws CniError 4. */
export function attachmentOf(env: (name: string) => string | undefined): CniAttachment {
  return {
    containerId: variable(
      "CNI_CONTAINERID",
      env("CNI_CONTAINERID"),
      (value) => NAME.test(value) && value.length <= MAX_CONTAINER_ID,
    ),
    ifname: variable(
      "CNI_IFNAME",
      env("CNI_IFNAME"),
      isIfname,
    ),
  };
}

/** CNI_NETNS. Throws CniError 4. */
export function netnsOf(env: (name: string) => string | undefined): string {
  return variable("CNI_NETNS", env("CNI_NETNS"), (value) => value.startsWith("/"));
}

/** CNI_ARGS, `K=V;K=V`, as Kubernetes' runtimes set it. Throws CniError 4. */
export function argsOf(env: (name: string) => string | undefined): Record<string, string> {
  const text = env("CNI_ARGS") ?? "";
  const args: Record<string, string> = {};
  for (const pair of text.split(";").filter((part) => part !== "")) {
    const equals = pair.indexOf("=");
    if (equals < 1) variable("CNI_ARGS", text, () => false);
    args[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  if (args.IP) {
    throw new CniError(
      CNI_ERROR.invalidEnvironment,
      `CNI_ARGS asks for the address ${shown(args.IP)}: pilus gives addresses itself; leave IP out`,
    );
  }
  return args;
}

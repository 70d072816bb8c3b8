/** What a runtime hands to a CNI plugin, checked (CNI specification 1.1.0, sections 1 and 2). */

import {
  CNI_ERROR,
  CNI_VERSIONS,
  type CniAttachment,
  CniError,
  type CniVersion,
  configPath,
  isCniVersion,
  shown,
  variable,
} from "../../api/cni.ts";
import { isNamespaceName, isResourceName } from "../../kubernetes/names.ts";

/** The plugin's configuration. */
export interface CniConfig {
  cniVersion: CniVersion;
  prevResult?: Record<string, unknown>;
  /** Of GC: what is still in use. */
  validAttachments?: CniAttachment[];
}

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

/** Of a container of no Pod, as podman names it. */
const CONTAINER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$/;

const MAX_PATH = 4096;

function invalid(message: string): never {
  throw new CniError(CNI_ERROR.invalidConfig, `Invalid configuration: ${message}`);
}

function record(value: unknown): Record<string, unknown> | undefined {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  return isRecord ? value as Record<string, unknown> : undefined;
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
  if (!isCniVersion(cniVersion)) {
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
  for (const key of ["socket", "stateDir"]) configPath(config, key);
  const attachments = config["cni.dev/valid-attachments"];
  return {
    cniVersion,
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

type Env = (name: string) => string | undefined;

/** CNI_NETNS. Throws CniError 4. */
export function netnsOf(env: Env): string {
  return variable(
    env,
    "CNI_NETNS",
    (path) => path.startsWith("/") && !path.includes("\0") && path.length <= MAX_PATH,
  );
}

/** The Pod in CNI_ARGS, `K=V;K=V`, as Kubernetes' runtimes set it; empty where it names none. Throws CniError. */
export function podOf(env: Env): { namespace: string; pod: string; podUid: string } {
  const text = env("CNI_ARGS") ?? "";
  const args = new Map<string, string>();
  for (const pair of text.split(";").filter((part) => part !== "")) {
    const equals = pair.indexOf("=");
    if (equals < 1) variable(env, "CNI_ARGS", () => false);
    args.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  const address = args.get("IP");
  if (address) {
    throw new CniError(
      CNI_ERROR.invalidEnvironment,
      `CNI_ARGS asks for the address ${shown(address)}: pilus gives addresses itself; leave IP out`,
    );
  }
  const namespace = args.get("K8S_POD_NAMESPACE") ?? "", pod = args.get("K8S_POD_NAME") ?? "";
  if (namespace !== "" && !isNamespaceName(namespace)) {
    invalid(`namespace ${shown(namespace)} is no name of a namespace`);
  }
  if (pod !== "" && namespace !== "" && !isResourceName(pod)) {
    invalid(`pod ${shown(pod)} is no name of a pod`);
  }
  if (pod !== "" && !CONTAINER_NAME.test(pod)) {
    invalid(`container ${shown(pod)} must be letters, digits and _ . -`);
  }
  const podUid = args.get("K8S_POD_UID") ?? "";
  if (podUid !== "" && !CONTAINER_NAME.test(podUid)) {
    invalid(`UID ${shown(podUid)} of the pod must be letters, digits and _ . -`);
  }
  return { namespace, pod, podUid };
}

/** Namespaces, pods and nodes, with the fields of Kubernetes 1.34. */

import { tryParseIp } from "../../datapath/net/ip.ts";
import { passedOver } from "./api_fields.ts";
import {
  cidr,
  labelName,
  name,
  type Normalised,
  port,
  portName,
  type PortProtocol,
  portProtocol,
  resource,
} from "./resource_schema.ts";
import {
  anything,
  boolean,
  type Infer,
  integer,
  list,
  object,
  orUnset,
  refine,
  text,
} from "./schema.ts";

export const namespaceSchema = resource({ spec: anything }, [], {
  names: labelName,
  namespaced: false,
});

export type Namespace = Normalised<"Namespace", object>;

const containerPorts = refine(
  list(object({
    name: orUnset(portName),
    containerPort: port,
    protocol: portProtocol,
    hostPort: integer(0, 65535),
    hostIP: text(
      "an IPv4 or IPv6 address",
      (value) => value === "" || tryParseIp(value) !== undefined,
    ),
  }, { required: ["containerPort"] })),
  (ports) => {
    const names = ports.flatMap(({ name }) => name ? [name] : []);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    return twice === undefined ? undefined : `has two ports of the name ${twice}`;
  },
);

const podSpec = object({
  nodeName: orUnset(name),
  serviceAccountName: orUnset(name),
  serviceAccount: orUnset(name),
  hostNetwork: boolean,
  containers: list(object({
    name: text(),
    ports: containerPorts,
  }, { open: true })),
  initContainers: list(object({
    name: text(),
    restartPolicy: text(),
    ports: containerPorts,
  }, { open: true })),
}, {
  unused: passedOver("Pod", "spec"),
});

/** What is wrong with the ports that a pod's containers have at its node. */
function hostPortFault(
  { hostNetwork, containers = [], initContainers = [] }: Infer<typeof podSpec>,
): string | undefined {
  const portsOf = (all: typeof containers) =>
    all.flatMap(({ ports }) => ports ?? [])
      .map((port) => ({
        ...port,
        hostPort: port.hostPort || (hostNetwork ? port.containerPort : 0),
      }))
      .filter(({ hostPort }) => hostPort);
  const other = hostNetwork &&
    portsOf(containers).find(({ hostPort, containerPort }) => hostPort !== containerPort);
  if (other) {
    return `has hostNetwork, and hostPort ${other.hostPort} for containerPort ` +
      `${other.containerPort}; they must be the same there`;
  }
  // init containers run one after the other
  for (const all of [containers, ...initContainers.map((each) => [each])]) {
    const seen = new Set<string>();
    for (const { hostPort, protocol, hostIP } of portsOf(all)) {
      const text = `${hostPort}/${protocol || "TCP"}${hostIP ? ` at ${hostIP}` : ""}`;
      if (seen.has(text)) return `has the hostPort ${text} twice`;
      seen.add(text);
    }
  }
  return undefined;
}

export const podSchema = resource({ spec: refine(podSpec, hostPortFault) });

export type Pod = Normalised<"Pod", Infer<typeof podSchema>>;

/**
 * The ports of a pod's containers, and of its sidecars: init containers with `restartPolicy: Always`
 * run as long as it does, the others have ended when it is ready.
 */
export function containerPortsOf({ spec: { containers = [], initContainers = [] } = {} }: Pod) {
  const sidecars = initContainers.filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...containers, ...sidecars].flatMap(({ ports = [] }) => ports);
}

/** `serviceAccount` is the older name of the field. */
export function serviceAccountOf({ spec = {} }: Pick<Pod, "spec">): string {
  return spec.serviceAccountName ?? spec.serviceAccount ?? "default";
}

/** A port that containers gave a name. */
export interface NamedPort {
  name: string;
  port: number;
  protocol: PortProtocol;
}

export const nodeSchema = resource(
  {
    spec: refine(
      object({ podCIDR: orUnset(cidr), podCIDRs: list(cidr) }, {
        unused: passedOver("Node", "spec"),
      }),
      ({ podCIDR, podCIDRs = [] }) => {
        if (podCIDR && podCIDRs.length > 0 && podCIDR !== podCIDRs[0]) {
          return `has podCIDR ${podCIDR}, which is not the first of podCIDRs`;
        }
        const families = podCIDRs.map((cidr) => cidr.includes(":"));
        return new Set(families).size < families.length
          ? "has podCIDRs that are not at most one of each family"
          : undefined;
      },
    ),
    status: object({
      addresses: list(refine(
        object({ type: text(), address: text() }),
        ({ type = "", address = "" }) =>
          type.endsWith("IP") && !tryParseIp(address)
            ? `has the ${type} ${JSON.stringify(address)}, which is no IPv4 or IPv6 address`
            : undefined,
      )),
    }, { open: true }),
  },
  [],
  { namespaced: false },
);

export type Node = Normalised<"Node", Infer<typeof nodeSchema>>;

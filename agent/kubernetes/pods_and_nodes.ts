/** Namespaces, pods and nodes, with the fields of Kubernetes 1.34. */

import { tryParseIp } from "../../datapath/net/ip.ts";
import { passedOver } from "./api_fields.ts";
import {
  cidr,
  name,
  type Normalised,
  port,
  portName,
  type PortProtocol,
  portProtocol,
  resource,
} from "./resource_schema.ts";
import { anything, boolean, type Infer, integer, list, object, refine, text } from "./schema.ts";

export const namespaceSchema = resource({ spec: anything });

export type Namespace = Normalised<"Namespace", object>;

const containerPorts = list(object({
  name: portName,
  containerPort: port,
  protocol: portProtocol,
  hostPort: integer(0, 65535),
  hostIP: text(
    "an IPv4 or IPv6 address",
    (value) => value === "" || tryParseIp(value) !== undefined,
  ),
}, { required: ["containerPort"] }));

export const podSchema = resource({
  spec: object({
    nodeName: name,
    serviceAccountName: name,
    serviceAccount: name,
    hostNetwork: boolean,
    containers: list(object({
      name: text(),
      ports: containerPorts,
    }, { required: ["name"], open: true })),
    initContainers: list(object({
      name: text(),
      restartPolicy: text(),
      ports: containerPorts,
    }, { required: ["name"], open: true })),
  }, {
    unused: passedOver("Pod", "spec"),
  }),
});

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

export const nodeSchema = resource({
  spec: object({ podCIDR: cidr, podCIDRs: list(cidr) }, {
    unused: passedOver("Node", "spec"),
  }),
  status: object({
    addresses: list(refine(
      object({ type: text(), address: text() }, { required: ["type", "address"] }),
      ({ type, address }) =>
        type.endsWith("IP") && !tryParseIp(address)
          ? `has the ${type} ${JSON.stringify(address)}, which is no IPv4 or IPv6 address`
          : undefined,
    )),
  }, { open: true }),
});

export type Node = Normalised<"Node", Infer<typeof nodeSchema>>;

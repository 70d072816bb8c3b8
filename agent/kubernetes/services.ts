/** Services and their endpoints, with the fields of Kubernetes 1.34. */

import { isSpecialIp, tryParseIp } from "../../datapath/net/ip.ts";
import { passedOver } from "./api_fields.ts";
import {
  cidrOrIp,
  DNS_LABEL,
  hostIp,
  ip,
  labels,
  name,
  type Normalised,
  port,
  portName,
  portProtocol,
  resource,
} from "./resource_schema.ts";
import { serviceFault } from "./service_rules.ts";
import {
  boolean,
  type Infer,
  integer,
  list,
  numberOrText,
  object,
  oneOf,
  refine,
  text,
} from "./schema.ts";

const clusterIp = text(
  "an IPv4 or IPv6 address, or None for a headless service",
  (value) => value === "None" || value === "" || tryParseIp(value) !== undefined,
);
const trafficPolicy = oneOf("Cluster", "Local");
export const serviceSchema = resource({
  spec: refine(
    object({
      type: oneOf("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
      clusterIP: clusterIp,
      clusterIPs: list(clusterIp),
      ipFamilies: list(oneOf("IPv4", "IPv6")),
      selector: labels,
      publishNotReadyAddresses: boolean,
      ports: list(object({
        name: text("a port name", (value) => DNS_LABEL.test(value)),
        protocol: portProtocol,
        port,
        targetPort: numberOrText(port, portName),
        nodePort: integer(0, 65535),
      }, { required: ["port"], unused: passedOver("Service", "spec.ports[]") })),
      externalIPs: list(hostIp),
      loadBalancerIP: text(
        "an IPv4 or IPv6 address",
        (value) => value === "" || tryParseIp(value) !== undefined,
      ),
      loadBalancerClass: text(),
      loadBalancerSourceRanges: list(cidrOrIp),
      allocateLoadBalancerNodePorts: boolean,
      externalTrafficPolicy: trafficPolicy,
      internalTrafficPolicy: trafficPolicy,
      healthCheckNodePort: integer(0, 65535),
      sessionAffinity: oneOf("ClientIP", "None"),
      sessionAffinityConfig: object({ clientIP: object({ timeoutSeconds: integer(1, 86400) }) }),
      trafficDistribution: oneOf("PreferClose", "PreferSameZone", "PreferSameNode"),
    }, { unused: passedOver("Service", "spec") }),
    serviceFault,
  ),
  status: object({
    loadBalancer: object({ ingress: list(object({ ip, ipMode: text() }, { open: true })) }),
  }, { open: true }),
}, ["spec"]);

export const endpointSliceSchema = refine(
  resource({
    addressType: oneOf("IPv4", "IPv6", "FQDN"),
    endpoints: list(object({
      addresses: list(text()),
      conditions: object({ ready: boolean, serving: boolean, terminating: boolean }),
      nodeName: name,
      zone: text(),
      hints: object({
        forZones: list(object({ name: text() }, { required: ["name"] })),
        forNodes: list(object({ name: text() }, { required: ["name"] })),
      }),
      targetRef: object({ kind: text(), namespace: text(), name: text() }, { open: true }),
    }, {
      required: ["addresses"],
      unused: passedOver("EndpointSlice", "endpoints[]"),
    })),
    ports: list(object({
      name: text(),
      protocol: portProtocol,
      port,
    }, { unused: passedOver("EndpointSlice", "ports[]") })),
  }, ["addressType"]),
  ({ addressType, endpoints }) => {
    if (addressType === "FQDN") return undefined;
    for (const address of (endpoints ?? []).flatMap((endpoint) => endpoint.addresses)) {
      const family = address.includes(":") ? "IPv6" : "IPv4";
      const parsed = tryParseIp(address);
      if (parsed && isSpecialIp(parsed)) {
        return `has the address ${address}, which no other host has`;
      }
      if (parsed && family === addressType) continue;
      return `has addressType ${addressType} and the address ${JSON.stringify(address)}`;
    }
    return undefined;
  },
);

export type Service = Normalised<"Service", Infer<typeof serviceSchema>>;

export type ServicePort = NonNullable<Service["spec"]["ports"]>[number];

/** An endpoint as the API has it. */
export type SliceEndpoint = NonNullable<Infer<typeof endpointSliceSchema>["endpoints"]>[number];

/** What `packEndpoints` makes of a slice's endpoints: they are most of what a cluster says. */
export interface SliceEndpoints {
  text: string;
  length: number;
}

export type EndpointSlice =
  & Omit<Normalised<"EndpointSlice", Infer<typeof endpointSliceSchema>>, "endpoints">
  & { endpoints?: SliceEndpoints };

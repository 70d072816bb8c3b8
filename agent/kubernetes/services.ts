/** Services and their endpoints, with the fields of Kubernetes 1.34. */

import { isSpecialIp, tryParseIp } from "../../datapath/net/ip.ts";
import { passedOver } from "./api_fields.ts";
import {
  cidr,
  DNS_LABEL,
  givenProtocol,
  hostIp,
  ip,
  isQualifiedName,
  labels,
  name,
  type Normalised,
  port,
  portName,
  portProtocol,
  resource,
  serviceName,
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
  orUnset,
  refine,
  type Schema,
  text,
} from "./schema.ts";

const clusterIp = text(
  "an IPv4 or IPv6 address, or None for a headless service",
  (value) => value === "None" || value === "" || tryParseIp(value) !== undefined,
);
const balancerIngress = refine(
  object({ ip: orUnset(ip), ipMode: oneOf("VIP", "Proxy") }, { open: true }),
  ({ ip, ipMode }) => ipMode && !ip ? "has an ipMode, and no ip that it is of" : undefined,
);
/** As everywhere, and with spaces around it. */
const sourceRange: Schema<string> = (value) =>
  cidr(typeof value === "string" ? value.trim() : value);
const trafficPolicy = oneOf("Cluster", "Local");
export const serviceSchema = resource(
  {
    spec: refine(
      object({
        type: orUnset(oneOf("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")),
        clusterIP: clusterIp,
        clusterIPs: list(
          text(
            "an IPv4 or IPv6 address, or None",
            (value) => value === "None" || !!tryParseIp(value),
          ),
        ),
        ipFamilies: list(oneOf("IPv4", "IPv6")),
        selector: labels,
        publishNotReadyAddresses: boolean,
        ports: list(object({
          name: orUnset(text("a port name", (value) => DNS_LABEL.test(value))),
          protocol: portProtocol,
          port,
          targetPort: numberOrText(integer(0, 65535), orUnset(portName)),
          nodePort: integer(0, 65535),
        }, { required: ["port"], unused: passedOver("Service", "spec.ports[]") })),
        externalIPs: list(hostIp),
        loadBalancerIP: text(
          "an IPv4 or IPv6 address",
          (value) => value === "" || tryParseIp(value) !== undefined,
        ),
        loadBalancerClass: text("a name such as example.com/lb", isQualifiedName),
        loadBalancerSourceRanges: list(sourceRange),
        allocateLoadBalancerNodePorts: boolean,
        externalTrafficPolicy: orUnset(trafficPolicy),
        internalTrafficPolicy: trafficPolicy,
        healthCheckNodePort: integer(0, 65535),
        sessionAffinity: orUnset(oneOf("ClientIP", "None")),
        sessionAffinityConfig: object({ clientIP: object({ timeoutSeconds: integer(1, 86400) }) }),
        trafficDistribution: oneOf("PreferClose", "PreferSameZone", "PreferSameNode"),
      }, { unused: passedOver("Service", "spec") }),
      serviceFault,
    ),
    status: object({
      loadBalancer: object({
        ingress: list(balancerIngress),
      }),
    }, { open: true }),
  },
  ["spec"],
  { names: serviceName },
);

/** Of an endpoint, and endpoints of a slice. */
const MAX_ADDRESSES = 100, MAX_ENDPOINTS = 1000;

export const endpointSliceSchema = refine(
  resource({
    addressType: oneOf("IPv4", "IPv6", "FQDN"),
    endpoints: list(object({
      addresses: refine(
        list(text()),
        ({ length }) =>
          length === 0 || length > MAX_ADDRESSES
            ? `has ${length} addresses, and must have 1 to ${MAX_ADDRESSES}`
            : undefined,
      ),
      conditions: object({ ready: boolean, serving: boolean, terminating: boolean }),
      nodeName: name,
      zone: text(),
      hints: object({
        forZones: list(object({ name: text() }, { required: ["name"] })),
        forNodes: list(object({ name: text() }, { required: ["name"] })),
      }),
      targetRef: object({ kind: text(), namespace: text(), name: text() }, {
        unused: ["apiVersion", "fieldPath", "resourceVersion", "uid"],
      }),
    }, {
      required: ["addresses"],
      unused: passedOver("EndpointSlice", "endpoints[]"),
    })),
    ports: list(object({
      name: orUnset(text("a port name", (value) => DNS_LABEL.test(value))),
      protocol: givenProtocol,
      port,
    }, { unused: passedOver("EndpointSlice", "ports[]") })),
  }, ["addressType"]),
  ({ addressType, endpoints, ports }) => {
    if ((endpoints ?? []).length > MAX_ENDPOINTS) {
      return `has ${endpoints!.length} endpoints, and ${MAX_ENDPOINTS} are the most`;
    }
    const names = (ports ?? []).map(({ name }) => name ?? "");
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) return `has two ports of the name ${JSON.stringify(twice)}`;
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

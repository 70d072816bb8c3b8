/**
 * What the fields of a Service must agree on: the rules of the API server's validation (Kubernetes
 * 1.34, pkg/apis/core/validation, ValidateService), which no single field shows.
 */

import { isIpv4, parseIp } from "../../datapath/net/ip.ts";

/** The fields that the rules look at, as the schema takes them. */
export interface CheckedService {
  type?: string;
  clusterIP?: string;
  clusterIPs?: string[];
  externalIPs?: string[];
  ipFamilies?: string[];
  ports?: CheckedPort[];
  loadBalancerClass?: string;
  loadBalancerSourceRanges?: string[];
  allocateLoadBalancerNodePorts?: boolean;
  externalTrafficPolicy?: string;
  healthCheckNodePort?: number;
}

/** Of a port, the same. */
interface CheckedPort {
  name?: string;
  port: number;
  protocol?: string;
  nodePort?: number;
}

/** Returns what is wrong. */
type Rule = (service: CheckedService) => string | undefined;

const isHeadless = ({ clusterIP, clusterIPs }: CheckedService) =>
  clusterIP === "None" || clusterIPs?.[0] === "None";
const isBalanced = ({ type }: CheckedService) => type === "LoadBalancer";
const hasNodePorts = ({ type }: CheckedService) => type === "LoadBalancer" || type === "NodePort";

const onlyWithBalancer = (field: keyof CheckedService): Rule => (service) => {
  const value = service[field];
  const given = Array.isArray(value) ? value.length > 0 : value !== undefined && value !== null;
  return given && !isBalanced(service) ? `has ${field}, which is for type LoadBalancer` : undefined;
};

/** The first of a list's texts that is there twice. */
function repeated(texts: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return texts.find((text) => seen.has(text) || !seen.add(text));
}

/** Of one service: all are computed at once. The API server has no limit but a resource's size. */
const MAX_FRONTENDS = 10_000;

/** Each is tried; the first that finds something wrong is reported. */
const RULES: readonly Rule[] = [
  (service) =>
    !service.ports?.length && !isHeadless(service) && service.type !== "ExternalName"
      ? "has no ports, which only a headless service or one of type ExternalName may lack"
      : undefined,
  (service) =>
    isHeadless(service) && hasNodePorts(service)
      ? `is headless (clusterIP None), which type ${service.type} cannot be`
      : undefined,
  ({ type, clusterIP, clusterIPs }) =>
    type === "ExternalName" && (clusterIP || clusterIPs?.length)
      ? "has a clusterIP, which type ExternalName does not have"
      : undefined,
  ({ clusterIP = "", clusterIPs = [] }) =>
    clusterIPs.length > 0 && clusterIP !== clusterIPs[0]
      ? `has clusterIP ${JSON.stringify(clusterIP)}, and the first of clusterIPs is ` +
        `${JSON.stringify(clusterIPs[0])}; they must be the same`
      : undefined,
  ({ clusterIPs = [] }) =>
    clusterIPs.length > 2 ||
      clusterIPs.length === 2 &&
        clusterIPs[0]!.includes(":") === clusterIPs[1]!.includes(":") ||
      clusterIPs.length > 1 && clusterIPs.includes("None")
      ? "has clusterIPs that are not at most one of each family, or None alone"
      : undefined,
  ({ type, ipFamilies = [] }) =>
    type === "ExternalName" && ipFamilies.length > 0
      ? "has ipFamilies, which type ExternalName does not have"
      : undefined,
  ({ ipFamilies = [] }) => {
    const twice = repeated(ipFamilies);
    return twice === undefined ? undefined : `has ${twice} twice among its ipFamilies`;
  },
  ({ clusterIP, clusterIPs = clusterIP ? [clusterIP] : [], ipFamilies = [] }) => {
    const wrong = clusterIPs.find((ip, i) =>
      ip !== "None" && ipFamilies[i] && ipFamilies[i] !== (isIpv4(parseIp(ip)) ? "IPv4" : "IPv6")
    );
    return wrong && `has clusterIP ${wrong}, which is not of the family that ipFamilies says`;
  },
  ({ ports = [], clusterIPs = [], externalIPs = [] }) => {
    const frontends = ports.length * (Math.max(1, clusterIPs.length) + externalIPs.length);
    return frontends > MAX_FRONTENDS
      ? `has ${frontends} frontends, each port at each address, and ${MAX_FRONTENDS} are the most ` +
        "here; make it several services"
      : undefined;
  },
  ({ ports = [] }) =>
    ports.length > 1 && ports.some(({ name }) => !name)
      ? "has several ports, which must all have names"
      : undefined,
  ({ ports = [] }) => {
    const twice = repeated(ports.flatMap(({ name }) => name ? [name] : []));
    return twice === undefined ? undefined : `has two ports of the name ${twice}`;
  },
  ({ ports = [] }) => {
    const twice = repeated(ports.map(({ port, protocol }) => `${port}/${protocol ?? "TCP"}`));
    return twice === undefined ? undefined : `has the port ${twice} twice`;
  },
  ({ ports = [] }) => {
    const twice = repeated(
      ports.flatMap(({ nodePort, protocol }) =>
        nodePort ? [`${nodePort}/${protocol ?? "TCP"}`] : []
      ),
    );
    return twice === undefined ? undefined : `has the nodePort ${twice} twice`;
  },
  (service) =>
    (service.type || "ClusterIP") === "ClusterIP" && service.ports?.some(({ nodePort }) => nodePort)
      ? "has a nodePort, which is for type NodePort or LoadBalancer"
      : undefined,
  onlyWithBalancer("loadBalancerSourceRanges"),
  onlyWithBalancer("loadBalancerClass"),
  onlyWithBalancer("allocateLoadBalancerNodePorts"),
  (service) =>
    service.externalTrafficPolicy && !hasNodePorts(service) &&
      (service.type === "ExternalName" || !service.externalIPs?.length)
      ? "has an externalTrafficPolicy, and no address that is reached from outside"
      : undefined,
  (service) =>
    service.healthCheckNodePort &&
      !(isBalanced(service) && service.externalTrafficPolicy === "Local")
      ? "has a healthCheckNodePort, which is for type LoadBalancer with externalTrafficPolicy Local"
      : undefined,
];

/** What is wrong with the service as a whole. */
export function serviceFault(service: CheckedService): string | undefined {
  for (const rule of RULES) {
    const wrong = rule(service);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

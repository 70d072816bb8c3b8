/** The addresses and ports by which a Service, or a host port, is reached. */

import { NO_ADDRESS, parseIp, tryParseIp } from "../../../datapath/net/ip.ts";
import type { Service, ServicePort } from "../../kubernetes/resources.ts";
import type { ServiceSettings } from "./annotations.ts";
import type { FrontendKind } from "./frontend.ts";

export interface FrontendAddress {
  kind: FrontendKind;
  address: Uint8Array<ArrayBuffer>;
  /** @default the service's */
  port?: number;
}

const LOOPBACKS = ["127.0.0.1", "::1"].map(parseIp);

export function clusterIps({ spec }: Service): string[] {
  const given = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ""];
  return given.filter((address) => address !== "" && address !== "None");
}

function ingressIps({ spec, status }: Service): string[] {
  const ingress = status?.loadBalancer?.ingress ?? [];
  // without a controller that fills in the status the wish is what there is
  if (ingress.length === 0 && spec.loadBalancerIP) return [spec.loadBalancerIP];
  // to a balancer that ends connections, packets have to go (KEP-1860)
  return ingress.flatMap(({ ip, ipMode }) => ip && ipMode !== "Proxy" ? [ip] : []);
}

/** All addresses of a service but its node ports. */
export function serviceAddresses(service: Service, { kinds }: ServiceSettings): FrontendAddress[] {
  const wanted = (kind: string) => kinds.size === 0 || kinds.has(kind);
  const parsed = (kind: FrontendKind, texts: readonly string[]): FrontendAddress[] =>
    texts.flatMap((text) => {
      const address = tryParseIp(text);
      return address ? [{ kind, address }] : [];
    });
  return [
    ...parsed("ClusterIP", clusterIps(service)),
    ...(service.spec.type === "LoadBalancer" && wanted("LoadBalancer")
      ? parsed("LoadBalancer", ingressIps(service))
      : []),
    ...parsed("ExternalIP", service.spec.externalIPs ?? []),
  ];
}

/** The port of the service that is its node port. */
export function nodePort(
  { spec }: Service,
  { name, port, nodePort }: ServicePort,
  { kinds }: ServiceSettings,
  [first, last]: readonly [first: number, last: number],
  report: (message: string) => void,
): number | undefined {
  if (spec.type !== "NodePort" && spec.type !== "LoadBalancer") return undefined;
  if (kinds.size > 0 && !kinds.has("NodePort")) return undefined;
  if (!nodePort) {
    if (spec.type === "NodePort") {
      report(`port ${name || port} has no nodePort; give it one from ${first} to ${last}`);
    }
    return undefined;
  }
  if (nodePort < first || nodePort > last) {
    report(`nodePort ${nodePort} is not one from ${first} to ${last} (--node-port-range)`);
  }
  return nodePort;
}

/** A port of this node at all of its addresses, which no socket may bind. */
export function nodeAddresses(
  port: number,
  kind: FrontendKind,
  own: readonly Uint8Array<ArrayBuffer>[],
): FrontendAddress[] {
  return [
    // no packet goes there: the row reserves the port
    { kind: "Reserved", address: NO_ADDRESS, port },
    ...[...own, ...LOOPBACKS].map((address) => ({ kind, address, port })),
  ];
}

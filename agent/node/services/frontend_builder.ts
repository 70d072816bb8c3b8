/** From a Service, or a pod with host ports, to its frontends. */

import { cidrContains, equalIp, isIpv4, parseIp, tryParseIp } from "../../../datapath/net/ip.ts";
import type { RoutingMode } from "../../../datapath/loader.ts";
import type { GroupResult } from "../../core/derive_groups.ts";
import type { Problem } from "../../core/problem.ts";
import type { Table } from "../../core/table.ts";
import { containerPortsOf } from "../../kubernetes/pods_and_nodes.ts";
import type { Node, Pod, PortProtocol, Service, ServicePort } from "../../kubernetes/resources.ts";
import type { LocalAddress } from "../ipcache/ipcache.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { isNewer } from "../endpoints/endpoint_ids.ts";
import type { OwnAddress } from "../ipcache/own_addresses.ts";
import { type Balancing, type ServiceSettings, serviceSettings } from "./annotations.ts";
import { type Backend, type BackendList, packBackends } from "./backend.ts";
import { type Choice, choose, NO_CHOICE, type Place } from "./backend_choice.ts";
import type { Frontend } from "./frontend.ts";
import {
  clusterIps,
  type FrontendAddress,
  nodeAddresses,
  nodePort,
  serviceAddresses,
} from "./frontend_addresses.ts";
import { portBackends } from "./port_backends.ts";
import type { ServiceIndex } from "./service_index.ts";

const ZONE_LABEL = "topology.kubernetes.io/zone";

/** Of the Kubernetes API: three hours. */
const AFFINITY_DEFAULT_S = 10_800;

const NO_BACKENDS = packBackends([]);

const BOTH_FAMILIES = ["IPv4", "IPv6"] as const satisfies Service["spec"]["ipFamilies"];

/** A host port is a service port without settings. */
const NO_SETTINGS: ServiceSettings = {
  mode: "snat",
  dispatch: "ipip",
  algorithm: "random",
  states: new Map(),
  weights: new Map(),
  kinds: new Set(),
};

/** Options for {@linkcode FrontendBuilder}. */
export interface FrontendOptions {
  /** This node's name. */
  nodeName: string;
  /** With a tunnel there is no direct server return. */
  routing: RoutingMode;
  balancing: Balancing;
  /** First and last. */
  nodePortRange: readonly [first: number, last: number];
}

/** What the builder reads. */
export interface FrontendBuilderInputs {
  Service: Table<Service>;
  Pod: Table<Pod>;
  Node: Table<Node>;
  nodes: Table<ClusterNode>;
  /** Of this node. */
  nodeAddresses: Table<OwnAddress>;
  localAddresses: Table<LocalAddress>;
  index: ServiceIndex;
}

/** The backends of one family, and the choices that the traffic policies make. */
interface Family {
  backends: BackendList;
  /** At the cluster address. */
  cluster: Choice;
  /** At other addresses, for clients in the cluster. */
  internal: Choice;
  external: Choice;
}

/** Labels of services that kube-proxy, too, leaves to others. */
const LABELS_OF_OTHERS = [
  "service.kubernetes.io/service-proxy-name",
  "service.kubernetes.io/headless",
];

function isLeftToOthers({ metadata: { labels } }: Service): boolean {
  return LABELS_OF_OTHERS.some((label) => labels[label] !== undefined);
}

/** As a hostIP: at every address of the node. */
const UNSPECIFIED = ["0.0.0.0", "::"].map(parseIp);

export class FrontendBuilder {
  readonly #inputs: FrontendBuilderInputs;
  readonly #options: FrontendOptions;

  constructor(inputs: FrontendBuilderInputs, options: FrontendOptions) {
    this.#inputs = inputs;
    this.#options = options;
  }

  /** The frontends of the service with that key; none when there is no such service. */
  ofService(key: string): GroupResult<Frontend> {
    const service = this.#inputs.Service.get(key);
    if (!service || service.spec.type === "ExternalName" || isLeftToOthers(service)) {
      return { rows: [] };
    }
    const { spec, metadata } = service;
    const problems: Problem[] = [];
    const report = (message: string) => problems.push({ source: `Service ${key}`, message });
    const settings = serviceSettings(service, this.#options.balancing, report);
    const addresses = serviceAddresses(service, settings);
    if (clusterIps(service).length === 0 && spec.clusterIP !== "None" && !spec.clusterIPs?.length) {
      report("has no clusterIP, so it is not served there; give it one");
    }
    const external = addresses.some(({ kind }) => kind !== "ClusterIP") ||
      spec.type === "NodePort" || spec.type === "LoadBalancer";
    if (external && this.#options.routing === "vxlan" && settings.mode !== "snat") {
      report(`mode ${settings.mode} needs native routing; SNAT is used`);
    }
    const slices = this.#inputs.index.slices(key);
    const sources = {
      slices,
      addresses: slices ? [] : this.#inputs.index.addresses(metadata.namespace),
      settings,
      isLocal: this.#isLocal,
    };
    for (const { addressType, metadata: { name } } of slices ?? []) {
      if (addressType === "FQDN") {
        report(`EndpointSlice ${name} has names (addressType FQDN), which are not served`);
      }
    }
    const frontends: Frontend[] = [];
    for (const port of spec.ports ?? []) {
      if (port.protocol === "SCTP") {
        report(`port ${port.port}/SCTP is not served: pilus balances TCP and UDP`);
        continue;
      }
      const backends = portBackends(service, port, sources);
      const own = nodePort(service, port, settings, this.#options.nodePortRange, report);
      const all = own ? [...addresses, ...this.#ownPort(own, "NodePort")] : addresses;
      frontends.push(...this.#frontends(service, port, backends, all, settings));
    }
    return { rows: frontends, problems };
  }

  /** The frontends of the host ports of a pod of this node. */
  ofPod(key: string): GroupResult<Frontend> {
    const pod = this.#inputs.Pod.get(key);
    // of two sandboxes the newer one
    const local = this.#inputs.localAddresses.rows().filter((row) => row.pod === key)
      .reduce<LocalAddress | undefined>((a, b) => a && isNewer(a.id, b.id) ? a : b, undefined);
    if (!pod || !local || pod.spec?.hostNetwork) return { rows: [] };
    const service: Service = { kind: "Service", metadata: pod.metadata, spec: {} };
    const problems: Problem[] = [];
    const frontends: Frontend[] = [];
    for (
      const { containerPort, hostPort, hostIP, protocol = "TCP", name } of containerPortsOf(pod)
    ) {
      if (!hostPort) continue;
      if (protocol === "SCTP") {
        problems.push({
          source: `Pod ${key}`,
          message: `hostPort ${hostPort}/SCTP is not served`,
        });
        continue;
      }
      const backends = local.addresses.map((address): Backend => ({
        address,
        port: containerPort,
        state: "active",
        weight: 1,
        local: true,
        node: this.#options.nodeName,
        pod: key,
      }));
      const bound = hostIP ? tryParseIp(hostIP) : undefined;
      const everywhere = !bound || UNSPECIFIED.some((any) => equalIp(any, bound));
      frontends.push(...this.#frontends(
        service,
        { port: hostPort, protocol: protocol as PortProtocol, name: name ?? "" },
        backends,
        everywhere
          ? this.#ownPort(hostPort, "HostPort")
          : [{ kind: "HostPort", address: bound, port: hostPort }],
        NO_SETTINGS,
      ));
    }
    return { rows: frontends, problems };
  }

  #frontends(
    { spec, metadata: { namespace, name } }: Service,
    port: ServicePort,
    backends: readonly Backend[],
    addresses: readonly FrontendAddress[],
    settings: ServiceSettings,
  ): Frontend[] {
    const protocol = port.protocol === "UDP" ? "UDP" : "TCP";
    const ipFamilies = spec.ipFamilies?.length ? spec.ipFamilies : BOTH_FAMILIES;
    const of = (family: "IPv4" | "IPv6") =>
      this.#family(
        spec,
        ipFamilies.includes(family)
          ? backends.filter(({ address }) => isIpv4(address) === (family === "IPv4"))
          : [],
      );
    let ipv4: Family | undefined, ipv6: Family | undefined;
    const direct = this.#options.routing === "native" &&
      (settings.mode === "dsr" || settings.mode === "hybrid" && protocol === "TCP");
    const ranges = (spec.loadBalancerSourceRanges ?? []).map((text) => text.trim());
    return addresses.map(({ kind, address, port: ownPort }): Frontend => {
      const family = isIpv4(address) ? ipv4 ??= of("IPv4") : ipv6 ??= of("IPv6");
      const reserved = kind === "Reserved", cluster = kind === "ClusterIP";
      return {
        address,
        port: ownPort ?? port.port,
        protocol,
        kind,
        namespace,
        name,
        portName: port.name ?? "",
        backends: reserved ? NO_BACKENDS : family.backends,
        internal: reserved ? NO_CHOICE : cluster ? family.cluster : family.internal,
        external: reserved || cluster ? NO_CHOICE : family.external,
        forwarding: direct && !cluster ? settings.dispatch : "snat",
        algorithm: settings.algorithm,
        affinityS: spec.sessionAffinity === "ClientIP"
          ? spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_DEFAULT_S
          : 0,
        ...(kind === "LoadBalancer" && ranges.length > 0 ? { sourceRanges: ranges } : {}),
        externalTrafficPolicy: spec.externalTrafficPolicy ?? "Cluster",
        internalTrafficPolicy: spec.internalTrafficPolicy ?? "Cluster",
      };
    });
  }

  #family(spec: Service["spec"], backends: readonly Backend[]): Family {
    const near = spec.trafficDistribution;
    const place = this.#place();
    const everywhere = choose(backends, { localOnly: false, near }, place);
    const local = [spec.internalTrafficPolicy, spec.externalTrafficPolicy].includes("Local");
    const here = local ? choose(backends, { localOnly: true, near }, place) : everywhere;
    return {
      backends: packBackends(backends),
      cluster: spec.internalTrafficPolicy === "Local" ? here : everywhere,
      // as by kube-proxy, at the address of a balancer or a node all backends count for them
      internal: everywhere,
      external: spec.externalTrafficPolicy === "Local" ? here : everywhere,
    };
  }

  #ownPort(port: number, kind: "NodePort" | "HostPort"): FrontendAddress[] {
    return nodeAddresses(port, kind, this.#own);
  }

  get #own(): Uint8Array<ArrayBuffer>[] {
    return this.#inputs.nodeAddresses.rows().map(({ address }) => address);
  }

  get #self(): ClusterNode | undefined {
    return this.#inputs.nodes.get(this.#options.nodeName);
  }

  #place(): Place {
    const labels = this.#inputs.Node.get(this.#options.nodeName)?.metadata.labels;
    return {
      node: this.#options.nodeName,
      addresses: this.#own,
      zone: labels?.[ZONE_LABEL],
    };
  }

  #isLocal = (address: Uint8Array, ip: string): boolean => {
    const cidr = isIpv4(address) ? this.#self?.podCidrIpv4 : this.#self?.podCidrIpv6;
    return (cidr !== undefined && cidrContains(cidr, address)) ||
      this.#inputs.nodeAddresses.has(ip);
  };
}

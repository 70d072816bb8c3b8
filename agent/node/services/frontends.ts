/** Services as addresses, ports and who answers there. */

import {
  cidrContains,
  equalIp,
  formatIp,
  isIpv4,
  parseIp,
  tryParseIp,
} from "../../../datapath/net/ip.ts";
import type { RoutingMode } from "../../../datapath/loader.ts";
import type { LocalAddress } from "../ipcache/ipcache.ts";
import type { ClusterNode } from "../nodes/nodes.ts";
import type {
  CiliumEndpoint,
  EndpointSlice,
  Pod,
  PortProtocol,
  Resource,
  Service,
  ServicePort,
} from "../../kubernetes/resources.ts";
import { resourceKey } from "../../kubernetes/resources.ts";
import { deriveGroups, groupInput, type GroupResult, rowsOf } from "../../core/derive_groups.ts";
import { type Problem, problemTable } from "../../core/problem.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import { type Change, Table } from "../../core/table.ts";
import { type Balancing, type ServiceSettings, serviceSettings } from "./annotations.ts";
import {
  type BackendList,
  choose,
  type Chosen,
  type FrontendBackend,
  packBackends,
  type Place,
  portBackends,
  selects,
  unpackBackends,
} from "./backends.ts";
import type { HealthCheck } from "./health_checks.ts";

/** What makes an address a frontend. `Reserved`: no address at all, but a port of the node. */
export type FrontendKind =
  | "ClusterIP"
  | "NodePort"
  | "LoadBalancer"
  | "ExternalIP"
  | "HostPort"
  | "Reserved";

/** An address, port and protocol that is a service. */
export interface Frontend {
  /** 16 bytes. */
  address: Uint8Array<ArrayBuffer>;
  port: number;
  protocol: "TCP" | "UDP";
  kind: FrontendKind;
  namespace: string;
  name: string;
  /** Empty for the one port without a name. */
  portName: string;
  /** Every backend of the family, asked or not, sorted by address and port. */
  backends: BackendList;
  /** Who is asked by pods and by the node itself. */
  inside: Chosen;
  /** Who is asked from outside. */
  outside: Chosen;
  /** How packets from outside get to backends elsewhere. */
  forwarding: "snat" | "ipip" | "option";
  algorithm: Balancing["algorithm"];
  /** Seconds that a client keeps its backend; 0: no affinity. */
  affinityS: number;
  /** Who may come from outside; undefined: everybody. */
  sourceRanges?: readonly string[];
  externalTrafficPolicy: "Cluster" | "Local";
  internalTrafficPolicy: "Cluster" | "Local";
}

/** Whether clients outside are answered. */
export function isExternal({ kind }: Frontend): boolean {
  return kind !== "ClusterIP" && kind !== "Reserved";
}

/** Tables that follow the services. Dispose of it to stop that. */
export interface FrontendTables extends Disposable {
  frontends: Table<Frontend>;
  problems: Table<Problem>;
  healthChecks: Table<HealthCheck>;
}

/** Options for {@linkcode deriveFrontends}. */
export interface FrontendOptions {
  /** This node's name. */
  nodeName: string;
  /** With a tunnel there is no direct server return. */
  routing: RoutingMode;
  balancing: Balancing;
  /** First and last. */
  nodePortRange: readonly [first: number, last: number];
}

export type FrontendInputs =
  & Pick<ResourceTables, "Service" | "EndpointSlice" | "CiliumEndpoint" | "Pod" | "Node">
  & { nodes: Table<ClusterNode>; localAddresses: Table<LocalAddress> };

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
const ZONE_LABEL = "topology.kubernetes.io/zone";

/** Of the Kubernetes API: three hours. */
const AFFINITY_DEFAULT_S = 10_800;

const LOOPBACKS = ["127.0.0.1", "::1"].map(parseIp);
/** The address of rows that reserve a port: no packet goes there. */
const NO_ADDRESS = new Uint8Array(16);

/** `address|port|protocol`, the key in the table. */
export function frontendKey(
  { address, port, protocol }: Pick<Frontend, "address" | "port" | "protocol">,
): string {
  return [formatIp(address), port, protocol].join("|");
}

function clusterIps({ spec }: Service): string[] {
  const given = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ""];
  return given.filter((address) => address !== "" && address !== "None");
}

function ingressIps({ spec, status }: Service): string[] {
  const told = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ? [ip] : []);
  // without a controller that fills in the status the wish is what there is
  return told.length === 0 && spec.loadBalancerIP ? [spec.loadBalancerIP] : told;
}

/** Rows by what they belong to. */
class Index<Row> {
  readonly #groups = new Map<string, Map<string, Row>>();

  get(group: string): ReadonlyMap<string, Row> | undefined {
    return this.#groups.get(group);
  }

  apply(change: Change<Row>, groupOf: (row: Row) => string | undefined): void {
    if (change.kind !== "added") {
      const group = groupOf(change.previous);
      const rows = group === undefined ? undefined : this.#groups.get(group);
      rows?.delete(change.key);
      if (rows?.size === 0) this.#groups.delete(group!);
    }
    if (change.kind === "deleted") return;
    const group = groupOf(change.row);
    if (group === undefined) return;
    let rows = this.#groups.get(group);
    if (!rows) this.#groups.set(group, rows = new Map());
    rows.set(change.key, change.row);
  }
}

const sliceOwner = ({ metadata }: EndpointSlice): string | undefined => {
  const name = metadata.labels[SERVICE_NAME_LABEL];
  return name ? `${metadata.namespace}/${name}` : undefined;
};

const namespaceOf = ({ metadata }: Resource): string => metadata.namespace;

/** Names of groups: services as they are called, pods with a prefix that no namespace has. */
const podGroup = (key: string) => `pod:${key}`;

/** What a group makes: frontends, and for a service whether balancers outside may ask. */
interface Made {
  frontends: Frontend[];
  problems: Problem[];
}

class Maker {
  readonly #inputs: FrontendInputs;
  readonly #options: FrontendOptions;
  readonly slices = new Index<EndpointSlice>();
  readonly endpoints = new Index<CiliumEndpoint>();
  /** Services without EndpointSlices, whose selectors are asked. */
  readonly selecting = new Index<Service>();

  constructor(inputs: FrontendInputs, options: FrontendOptions) {
    this.#inputs = inputs;
    this.#options = options;
  }

  /** After a change of the service or of its EndpointSlices. */
  keepSelecting(key: string): void {
    const row = this.#inputs.Service.get(key);
    if (!row) return;
    if (this.slices.get(key)) {
      this.selecting.apply({ kind: "deleted", key, previous: row }, namespaceOf);
    } else this.selecting.apply({ kind: "added", key, row }, namespaceOf);
  }

  get #self(): ClusterNode | undefined {
    return this.#inputs.nodes.get(this.#options.nodeName);
  }

  #place(): Place {
    const labels = this.#inputs.Node.get(this.#options.nodeName)?.metadata.labels;
    return {
      node: this.#options.nodeName,
      addresses: this.#self?.addresses ?? [],
      zone: labels?.[ZONE_LABEL],
    };
  }

  #isLocal = (address: Uint8Array): boolean => {
    const self = this.#self;
    if (!self) return false;
    const cidr = isIpv4(address) ? self.podCidrIpv4 : self.podCidrIpv6;
    return (cidr !== undefined && cidrContains(cidr, address)) ||
      self.addresses.some((own) => equalIp(own, address));
  };

  make(group: string): Made {
    if (group.startsWith("pod:")) return this.#makePod(group.slice("pod:".length));
    const service = this.#inputs.Service.get(group);
    return service ? this.#makeService(group, service) : { frontends: [], problems: [] };
  }

  #makeService(key: string, service: Service): Made {
    const { spec } = service;
    const problems: Problem[] = [];
    const report = (message: string) => problems.push({ source: `Service ${key}`, message });
    if (spec.type === "ExternalName") return { frontends: [], problems };
    const settings = serviceSettings(service, this.#options.balancing, report);
    const addresses = this.#addresses(service, settings);
    if (clusterIps(service).length === 0 && spec.clusterIP !== "None" && !spec.clusterIPs?.length) {
      report("has no clusterIP, so it is not served there; give it one");
    }
    const slices = this.slices.get(key);
    const endpoints = this.endpoints.get(service.metadata.namespace);
    const sources = {
      slices: slices ? [...slices.values()] : undefined,
      // of the whole namespace: only for who asks
      endpoints: slices ? [] : [...endpoints?.values() ?? []],
      settings,
      isLocal: this.#isLocal,
    };
    const frontends: Frontend[] = [];
    const tunnel = this.#options.routing === "vxlan" && settings.mode !== "snat";
    const external = addresses.some(({ kind }) => kind !== "ClusterIP") ||
      spec.type === "NodePort" ||
      spec.type === "LoadBalancer";
    if (tunnel && external) {
      report(`mode ${settings.mode} needs native routing; SNAT is used`);
    }
    for (const port of spec.ports ?? []) {
      if (port.protocol === "SCTP") {
        report(`port ${port.port}/SCTP is not served: pilus balances TCP and UDP`);
        continue;
      }
      const backends = portBackends(service, port, sources);
      const all = [...addresses, ...this.#nodePorts(service, port, settings, report)];
      frontends.push(...this.#frontends(service, port, backends, all, settings));
    }
    return { frontends, problems };
  }

  /** Where a service is besides its node ports. */
  #addresses(service: Service, { kinds }: ServiceSettings): Where[] {
    const wanted = (kind: string) => kinds.size === 0 || kinds.has(kind);
    const where = (kind: FrontendKind, texts: readonly string[]): Where[] =>
      texts.flatMap((text) => {
        const address = tryParseIp(text);
        return address ? [{ kind, address }] : [];
      });
    return [
      ...where("ClusterIP", clusterIps(service)),
      ...(service.spec.type === "LoadBalancer" && wanted("LoadBalancer")
        ? where("LoadBalancer", ingressIps(service))
        : []),
      ...where("ExternalIP", service.spec.externalIPs ?? []),
    ];
  }

  #nodePorts(
    { spec }: Service,
    { name, port, nodePort }: ServicePort,
    { kinds }: ServiceSettings,
    report: (message: string) => void,
  ): Where[] {
    if (spec.type !== "NodePort" && spec.type !== "LoadBalancer") return [];
    if (kinds.size > 0 && !kinds.has("NodePort")) return [];
    if (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts === false && !nodePort) {
      return [];
    }
    const [first, last] = this.#options.nodePortRange;
    if (!nodePort) {
      if (spec.type === "NodePort") {
        report(`port ${name || port} has no nodePort; give it one from ${first} to ${last}`);
      }
      return [];
    }
    if (nodePort < first || nodePort > last) {
      report(`nodePort ${nodePort} is not one from ${first} to ${last} (--node-port-range)`);
    }
    return this.#ownPort(nodePort, "NodePort");
  }

  /** A port of this node at all of its addresses, which no socket may bind besides. */
  #ownPort(port: number, kind: FrontendKind): Where[] {
    return [
      { kind: "Reserved", address: NO_ADDRESS, port },
      ...[...this.#self?.addresses ?? [], ...LOOPBACKS].map((address) => ({ kind, address, port })),
    ];
  }

  #frontends(
    service: Service,
    port: ServicePort,
    backends: FrontendBackend[],
    all: readonly Where[],
    settings: ServiceSettings,
  ): Frontend[] {
    const { spec, metadata: { namespace, name } } = service;
    const protocol = port.protocol === "UDP" ? "UDP" : "TCP";
    const place = this.#place();
    const near = spec.trafficDistribution;
    const internalTrafficPolicy = spec.internalTrafficPolicy ?? "Cluster";
    const externalTrafficPolicy = spec.externalTrafficPolicy ?? "Cluster";
    const chosen = (ipv4: boolean) => {
      const family = backends.filter(({ address }) => isIpv4(address) === ipv4);
      const everywhere = choose(family, { localOnly: false, near }, place);
      const here = choose(family, { localOnly: true, near }, place);
      const packed = packBackends(family);
      if (everywhere.backends.text === packed.text) everywhere.backends = packed;
      return {
        backends: packed,
        cluster: internalTrafficPolicy === "Local" ? here : everywhere,
        // from inside all of a balancer's or node's address are asked, as by kube-proxy
        inside: everywhere,
        outside: externalTrafficPolicy === "Local" ? here : everywhere,
      };
    };
    const byFamily = { ipv4: chosen(true), ipv6: chosen(false) };
    const direct = this.#options.routing === "native" &&
      (settings.mode === "dsr" || settings.mode === "hybrid" && protocol === "TCP");
    const ranges = spec.loadBalancerSourceRanges ?? [];
    return all.map(({ kind, address, port: ownPort }): Frontend => {
      const family = byFamily[isIpv4(address) ? "ipv4" : "ipv6"];
      return {
        address,
        port: ownPort ?? port.port,
        protocol,
        kind,
        namespace,
        name,
        portName: port.name ?? "",
        backends: kind === "Reserved" ? NONE.backends : family.backends,
        inside: kind === "Reserved" ? NONE : kind === "ClusterIP" ? family.cluster : family.inside,
        outside: kind === "ClusterIP" || kind === "Reserved" ? NONE : family.outside,
        forwarding: direct && kind !== "ClusterIP" ? settings.dispatch : "snat",
        algorithm: settings.algorithm,
        affinityS: spec.sessionAffinity === "ClientIP"
          ? spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_DEFAULT_S
          : 0,
        ...(kind === "LoadBalancer" && ranges.length > 0 ? { sourceRanges: ranges } : {}),
        externalTrafficPolicy,
        internalTrafficPolicy,
      };
    });
  }

  /** The host ports of a pod of this node. */
  #makePod(key: string): Made {
    const pod = this.#inputs.Pod.get(key);
    const local = this.#inputs.localAddresses.rows().find((row) => row.pod === key);
    if (!pod || !local || pod.spec?.hostNetwork) return { frontends: [], problems: [] };
    const problems: Problem[] = [];
    const frontends: Frontend[] = [];
    for (const { ports = [] } of pod.spec?.containers ?? []) {
      for (const { containerPort, hostPort, hostIP, protocol = "TCP", name } of ports) {
        if (!hostPort) continue;
        if (protocol === "SCTP") {
          problems.push({
            source: `Pod ${key}`,
            message: `hostPort ${hostPort}/SCTP is not served`,
          });
          continue;
        }
        const backends = local.addresses.map((address): FrontendBackend => ({
          address,
          port: containerPort,
          state: "active",
          weight: 1,
          local: true,
          node: this.#options.nodeName,
          pod: key,
        }));
        const bound = hostIP ? tryParseIp(hostIP) : undefined;
        const everywhere = bound === undefined || bound.every((b, i) => b === 0 || i < 12);
        const all: Where[] = everywhere
          ? this.#ownPort(hostPort, "HostPort")
          : [{ kind: "HostPort", address: bound, port: hostPort }];
        const service: Service = {
          kind: "Service",
          metadata: pod.metadata,
          spec: {},
        };
        frontends.push(...this.#frontends(
          service,
          { port: hostPort, protocol: protocol as PortProtocol, name: name ?? "" },
          backends,
          all,
          NO_SETTINGS,
        ));
      }
    }
    return { frontends, problems };
  }
}

interface Where {
  kind: FrontendKind;
  address: Uint8Array<ArrayBuffer>;
  /** @default the service's */
  port?: number;
}

const NONE: Chosen = { backends: packBackends([]), count: 0 };

const NO_SETTINGS: ServiceSettings = {
  mode: "snat",
  dispatch: "ipip",
  algorithm: "random",
  states: new Map(),
  weights: new Map(),
  kinds: new Set(),
};

/**
 * Wires the derivation of frontends. A service without EndpointSlices gets the pods that it selects.
 * Of two that claim one frontend the elder keeps it.
 */
export function deriveFrontends(inputs: FrontendInputs, options: FrontendOptions): FrontendTables {
  const frontends = new Table<Frontend>({ name: "frontends", key: frontendKey });
  const problems = problemTable("service-problems");
  const healthChecks = new Table<HealthCheck>({
    name: "health-checks",
    key: ({ port }) => String(port),
  });
  const maker = new Maker(inputs, options);
  const hasHostPorts = ({ spec }: Pod) =>
    spec?.containers?.some(({ ports }) => ports?.some(({ hostPort }) => hostPort)) ?? false;
  const everything = () => [
    ...inputs.Service.keys(),
    ...inputs.Pod.rows().filter(hasHostPorts).map((pod) => podGroup(resourceKey(pod))),
  ];
  const watched = [
    groupInput(inputs.Service, (change) => {
      maker.selecting.apply(change, namespaceOf);
      maker.keepSelecting(change.key);
      return [change.key];
    }),
    groupInput(inputs.EndpointSlice, (change) => {
      maker.slices.apply(change, sliceOwner);
      const owners = [...rowsOf(change)].flatMap((slice) => sliceOwner(slice) ?? []);
      for (const owner of owners) maker.keepSelecting(owner);
      return owners;
    }),
    groupInput(inputs.CiliumEndpoint, (change) => {
      maker.endpoints.apply(change, namespaceOf);
      const rows = [...rowsOf(change)];
      const services = maker.selecting.get(namespaceOf(rows[0]!)) ?? new Map();
      return [...services].filter(([, service]) =>
        rows.some((endpoint) => selects(service, endpoint))
      ).map(([key]) => key);
    }),
    groupInput(
      inputs.Pod,
      (change) => [...rowsOf(change)].some(hasHostPorts) ? [podGroup(change.key)] : [],
    ),
    groupInput(
      inputs.localAddresses,
      (change) => [...rowsOf(change)].map(({ pod }) => podGroup(pod)),
    ),
    groupInput(inputs.nodes, (change) => change.key === options.nodeName ? everything() : []),
    groupInput(inputs.Node, (change) => change.key === options.nodeName ? everything() : []),
  ];
  const derivation = deriveGroups<Frontend>({
    inputs: watched,
    output: frontends,
    problems,
    compute: (group): GroupResult<Frontend> => {
      const made = maker.make(group);
      return { rows: made.frontends, problems: made.problems };
    },
    conflict: (loser, owner) =>
      loser.kind === "Reserved" ? undefined : {
        source: `Service ${loser.namespace}/${loser.name}`,
        message: `${formatIp(loser.address)} port ${loser.port}/${loser.protocol} is of Service ` +
          `${owner.namespace}/${owner.name} already; change one`,
      },
  });
  const checks = deriveGroups<HealthCheck>({
    inputs: [
      groupInput(inputs.Service, (change) => [change.key]),
      groupInput(
        frontends,
        (change) => [...rowsOf(change)].map(({ namespace, name }) => `${namespace}/${name}`),
      ),
    ],
    output: healthChecks,
    compute: (group) => {
      const service = inputs.Service.get(group);
      const port = service?.spec.healthCheckNodePort;
      if (!port || service.spec.externalTrafficPolicy !== "Local") return { rows: [] };
      const pods = new Set<string>();
      for (const { outside } of maker.make(group).frontends) {
        for (const { address, pod } of unpackBackends(outside.backends).slice(0, outside.count)) {
          pods.add(pod ?? formatIp(address));
        }
      }
      const { namespace, name } = service.metadata;
      return { rows: [{ namespace, name, port, localEndpoints: pods.size }] };
    },
  });
  return {
    frontends,
    problems,
    healthChecks,
    [Symbol.dispose]() {
      checks[Symbol.dispose]();
      derivation[Symbol.dispose]();
    },
  };
}

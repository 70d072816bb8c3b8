/** Services as addresses, ports and who answers there. */

import { createHash } from "node:crypto";
import { formatIp, isIpv4, tryParseIp } from "../../datapath/net/ip.ts";
import { parseLabels } from "../identity/labels.ts";
import type {
  CiliumEndpoint,
  EndpointSlice,
  PortProtocol,
  Service,
  ServicePort,
} from "../resources.ts";
import { resourceKey } from "../resources.ts";
import { type Derivation, derive } from "../state/derive.ts";
import { type Problem, problemTable, type ResourceTables } from "../state/resource_tables.ts";
import { Table } from "../state/table.ts";

/** Whether new connections go to a backend; one that is terminating serves those it has. */
export type BackendState = "active" | "terminating";

/** Who answers for a frontend. */
export interface FrontendBackend {
  /** 16 bytes. */
  address: Uint8Array<ArrayBuffer>;
  port: number;
  state: BackendState;
  node?: string;
  /** `namespace/name`. */
  pod?: string;
}

/** An address, port and protocol that is a service. */
export interface Frontend {
  /** 16 bytes. */
  address: Uint8Array<ArrayBuffer>;
  port: number;
  protocol: PortProtocol;
  kind: "ClusterIP";
  namespace: string;
  name: string;
  /** Empty for the one port without a name. */
  portName: string;
  /** Of the frontend's family, sorted by address and port. None: connections are refused. */
  backends: FrontendBackend[];
  /** SHA-256 of the backends' addresses, ports and states, in hexadecimal. */
  backendHash: string;
}

/** Tables that follow the services. Dispose of it to stop that. */
export interface FrontendTables extends Disposable {
  frontends: Table<Frontend>;
  problems: Table<Problem>;
  derivations: readonly Derivation[];
}

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** `address|port|protocol`, the key in the table. */
export function frontendKey(
  { address, port, protocol }: Pick<Frontend, "address" | "port" | "protocol">,
): string {
  return `${formatIp(address)}|${port}|${protocol}`;
}

function clusterIps({ spec }: Service): string[] {
  const given = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ""];
  return given.filter((address) => address !== "" && address !== "None");
}

function sliceBackends(
  slices: readonly EndpointSlice[],
  port: ServicePort,
  publishNotReady: boolean,
): FrontendBackend[] {
  const backends: FrontendBackend[] = [];
  for (const slice of slices) {
    const number = (slice.ports ?? []).find((candidate) =>
      (candidate.name ?? "") === (port.name ?? "") &&
      (candidate.protocol ?? "TCP") === (port.protocol ?? "TCP")
    )?.port;
    if (!number) continue;
    for (const { addresses, conditions = {}, nodeName, targetRef } of slice.endpoints ?? []) {
      // The conditions' defaults are those of the EndpointSlice API: unknown counts as ready.
      const ready = conditions.ready ?? true;
      const draining = conditions.terminating === true && (conditions.serving ?? ready) === true;
      if (!ready && !draining && !publishNotReady) continue;
      for (const text of addresses) {
        const address = tryParseIp(text);
        if (!address) continue;
        const pod = targetRef?.kind === "Pod" && targetRef.name
          ? `${targetRef.namespace ?? slice.metadata.namespace}/${targetRef.name}`
          : undefined;
        backends.push({
          address,
          port: number,
          state: draining ? "terminating" : "active",
          ...(nodeName ? { node: nodeName } : {}),
          ...(pod ? { pod } : {}),
        });
      }
    }
  }
  return backends;
}

/** What a controller would put in the EndpointSlices: the published pods that the selector selects. */
function selectedBackends(
  service: Service,
  port: ServicePort,
  endpoints: readonly CiliumEndpoint[],
): FrontendBackend[] {
  const selector = Object.entries(service.spec.selector ?? {});
  if (selector.length === 0) return [];
  const backends: FrontendBackend[] = [];
  for (const { metadata, status } of endpoints) {
    if (metadata.namespace !== service.metadata.namespace) continue;
    const labels = parseLabels(status.identity.labels);
    const has = (key: string) => labels[`k8s:${key}`] ?? metadata.labels[key];
    if (!selector.every(([key, value]) => has(key) === value)) continue;
    if (status.state !== undefined && status.state !== "ready") continue;
    const target = port.targetPort ?? port.port;
    const number = typeof target === "number" ? target : status["named-ports"]
      ?.find(({ name, protocol }) => name === target && protocol === (port.protocol ?? "TCP"))
      ?.port;
    if (number === undefined) continue;
    for (const { ipv4, ipv6 } of status.networking.addressing) {
      for (const text of [ipv4, ipv6]) {
        const address = text === undefined ? undefined : tryParseIp(text);
        if (!address) continue;
        backends.push({
          address,
          port: number,
          state: "active",
          node: status.networking.node,
          pod: resourceKey({ kind: "Pod", metadata }),
        });
      }
    }
  }
  return backends;
}

function sortedBackends(backends: readonly FrontendBackend[], ipv4: boolean): FrontendBackend[] {
  const unique = new Map<string, FrontendBackend>();
  for (const backend of backends) {
    if (isIpv4(backend.address) !== ipv4) continue;
    const key = `${formatIp(backend.address)}|${backend.port}`;
    if (unique.get(key)?.state !== "active") unique.set(key, backend);
  }
  return [...unique].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).map(([, backend]) => backend);
}

function backendHash(backends: readonly FrontendBackend[]): string {
  const lines = backends.map(({ address, port, state }) => `${formatIp(address)} ${port} ${state}`);
  return createHash("sha256").update(lines.join("\n")).digest("hex");
}

/** Wires the derivation of frontends. A service without EndpointSlices gets the pods it selects. */
export function deriveFrontends(
  inputs: Pick<ResourceTables, "Service" | "EndpointSlice" | "CiliumEndpoint">,
): FrontendTables {
  const frontends = new Table<Frontend>({ name: "frontends", key: frontendKey });
  const problems = problemTable("service-problems");

  const compute = (report: (problem: Problem) => void): Frontend[] => {
    const slices = Map.groupBy(
      inputs.EndpointSlice.rows().filter(({ metadata }) => metadata.labels[SERVICE_NAME_LABEL]),
      ({ metadata }) => `${metadata.namespace}/${metadata.labels[SERVICE_NAME_LABEL]}`,
    );
    const endpoints = inputs.CiliumEndpoint.rows();
    const result = new Map<string, Frontend>();
    const services = inputs.Service.rows().map((service) =>
      [resourceKey(service), service] as const
    )
      .sort(([a], [b]) => a < b ? -1 : 1);
    for (const [key, service] of services) {
      const { spec, metadata: { namespace, name } } = service;
      const source = `Service ${key}`;
      if (spec.type === "ExternalName") continue;
      if (spec.type === "NodePort" || spec.type === "LoadBalancer") {
        report({ source, message: `type ${spec.type} is served at its cluster addresses alone` });
      }
      const addresses = clusterIps(service);
      if (addresses.length === 0 && spec.clusterIP !== "None" && !spec.clusterIPs?.length) {
        report({ source, message: "has no clusterIP, so it is not served; give it one" });
      }
      for (const text of addresses) {
        const address = tryParseIp(text);
        if (!address) continue;
        for (const port of spec.ports ?? []) {
          const ofService = slices.get(key);
          const candidates = ofService
            ? sliceBackends(ofService, port, spec.publishNotReadyAddresses ?? false)
            : selectedBackends(service, port, endpoints);
          const backends = sortedBackends(candidates, isIpv4(address));
          const frontend: Frontend = {
            address,
            port: port.port,
            protocol: port.protocol ?? "TCP",
            kind: "ClusterIP",
            namespace,
            name,
            portName: port.name ?? "",
            backends,
            backendHash: backendHash(backends),
          };
          const owner = result.get(frontendKey(frontend));
          if (owner) {
            const where = `${text} port ${port.port}/${frontend.protocol}`;
            report({
              source,
              message:
                `${where} is of Service ${owner.namespace}/${owner.name} already; change one`,
            });
          } else {
            result.set(frontendKey(frontend), frontend);
          }
        }
      }
    }
    return [...result.values()];
  };

  const tables = [inputs.Service, inputs.EndpointSlice, inputs.CiliumEndpoint];
  const derivations = [
    derive(tables, () => compute(() => {}), frontends),
    derive([inputs.Service], () => {
      const found: Problem[] = [];
      compute((problem) => found.push(problem));
      return found;
    }, problems),
  ];
  return {
    frontends,
    problems,
    derivations,
    [Symbol.dispose]() {
      for (const derivation of derivations) derivation[Symbol.dispose]();
    },
  };
}

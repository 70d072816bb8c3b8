/** Hubble's API: flows of this node for the programs that Cilium's users have. */

import { formatIp, formatSocketAddress } from "../../../datapath/net/ip.ts";
import type { Endpoint } from "../../api/endpoint.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import type { Log } from "../../core/log.ts";
import { protocolName } from "../../core/protocols.ts";
import type { Table } from "../../core/table.ts";
import { GrpcServer } from "../../grpc/grpc_server.ts";
import { CLUSTER, FlowMaker, type HubbleNames } from "../../hubble/flow_maker.ts";
import type { PolicyMessage } from "../../hubble/flow_message.ts";
import { healthMethods } from "../../hubble/health_service.ts";
import { observerMethods } from "../../hubble/observer_service.ts";
import { type Peer, peerMethods } from "../../hubble/peer_service.ts";
import { type AgentConfig, VERSION } from "../config.ts";
import type { IdentifiedEndpoint } from "../identity/endpoint_identities.ts";
import type { AddressNames } from "../ipcache/address_names.ts";
import type { ObserverPart } from "../observer/observer_part.ts";
import type { Part } from "../part.ts";
import type { PolicyPart } from "../policy/policy_part.ts";
import type { ServicesPart } from "../services/services_part.ts";

/** The port of nodes whose own address is not known to listen elsewhere. */
const DEFAULT_PORT = 4244;

/** What {@linkcode hubblePart} takes. */
export interface HubblePartOptions {
  config: AgentConfig;
  log: Log;
  listeners: readonly Deno.Listener[];
  observer: Pick<ObserverPart, "flows" | "interfaceName">;
  names: AddressNames;
  policy: Pick<PolicyPart, "labels" | "rule" | "reference">;
  services: Pick<ServicesPart, "frontends">;
  endpoints: Table<Endpoint>;
  identified: Table<IdentifiedEndpoint>;
  nodes: Table<ClusterNode>;
}

/** Wires the ring of flows to the services of Hubble's API. */
export function hubblePart(
  {
    config,
    log,
    listeners,
    observer: { flows, interfaceName },
    names,
    policy,
    services: { frontends },
    endpoints,
    identified,
    nodes,
  }: HubblePartOptions,
): Part {
  const { nodeName, hubble, hubbleTlsCert } = config;
  const port = hubble?.port ?? DEFAULT_PORT;
  const endpointIds = indexed(
    endpoints,
    (rows) =>
      new Map(
        rows.flatMap(({ id, ipv4, ipv6 }) =>
          [ipv4, ipv6].filter((ip) => ip !== undefined).map((ip) => [ip, id] as const)
        ),
      ),
  );
  const hubbleNames: HubbleNames = {
    revision: () => names.revision + endpoints.revision,
    pod: (ip) => names.get(ip),
    endpoint: (ip) => endpointIds().get(ip),
    labels: policy.labels,
    service: (ip, port, protocol) => {
      const row = frontends.get([ip, port, protocolName(protocol)].join("|"));
      return row && row.kind !== "Reserved"
        ? { name: row.name, namespace: row.namespace }
        : undefined;
    },
    interface: interfaceName,
    policy: (cookie): PolicyMessage | undefined => {
      const rule = policy.reference(cookie);
      if (!rule || rule.kind === "pilus") return undefined;
      const { name, namespace, kind } = rule;
      return { name, kind, ...(namespace === "" ? {} : { namespace }) };
    },
    rule: policy.rule,
  };
  const maker = new FlowMaker(nodeName, hubbleNames);
  const addressOf = ({ ipv4, ipv6 }: Pick<ClusterNode, "ipv4" | "ipv6">) => {
    const ip = ipv4 ?? ipv6;
    return ip ? formatSocketAddress(formatIp(ip), port) : "";
  };
  const peer = (node: ClusterNode): Peer => ({
    name: `${CLUSTER}/${node.name}`,
    address: addressOf(node),
    ...(hubbleTlsCert === "" ? {} : {
      serverName: `${node.name.replaceAll(".", "-")}.${CLUSTER}.hubble-grpc.cilium.io`,
    }),
  });
  const server = new GrpcServer({
    methods: {
      ...observerMethods({
        ring: flows,
        maker,
        version: `pilus ${VERSION}`,
        startedAt: Date.now(),
        address: hubble ? formatSocketAddress(hubble.hostname, hubble.port) : "",
        namespaces: () =>
          identified.rows().map(({ endpoint }) => endpoint.namespace)
            .filter((namespace) => namespace !== ""),
      }),
      ...peerMethods({
        list: () => nodes.rows().map(peer),
        watch: (changed) => nodes.watch(() => changed()),
      }),
      ...healthMethods(["hubble.server.Observer", "observer.Observer", "peer.Peer"]),
    },
    onError: (what, error) => log.error("hubble", { what, error: String(error) }),
  });
  return {
    name: "hubble",
    start: () => {
      for (const listener of listeners) server.listen(listener);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A function that gives what `make` makes of a table, made anew when that has changed. */
function indexed<Row extends object, Index>(
  table: Table<Row>,
  make: (rows: Row[]) => Index,
): () => Index {
  let revision = NaN;
  let index: Index;
  return () => {
    if (revision !== table.revision) index = make(table.rows());
    revision = table.revision;
    return index;
  };
}

/** Endpoints: the pods' interfaces of this node, and their rows in the kernel. */

import type { DatabaseSync } from "node:sqlite";
import { formatCidr, formatIp, parseIp } from "../../../datapath/net/ip.ts";
import { type Endpoint, EndpointError, endpointKey, podKey } from "../../api/endpoint.ts";
import type { EndpointView } from "../../api/types.ts";
import type { ClusterStore } from "../../cluster/cluster_store.ts";
import { formatLabels } from "../../cluster/labels.ts";
import { derive } from "../../core/derive.ts";
import type { Log } from "../../core/log.ts";
import { periodically } from "../../core/periodic.ts";
import { Reconciler } from "../../core/reconciler.ts";
import { remembered } from "../../core/remembered.ts";
import type { Table } from "../../core/table.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import type { AttachmentsPart } from "../attachments/attachments_part.ts";
import { limitFlags } from "../bandwidth/limits.ts";
import type { LimitRow } from "../bandwidth/limit_rows.ts";
import type { AgentConfig } from "../config.ts";
import { awaitPod } from "../identity/await_pod.ts";
import { type IdentityPart, lacksManifest } from "../identity/identity_part.ts";
import type { IpcachePart } from "../ipcache/ipcache_part.ts";
import type { Kernel } from "../kernel.ts";
import { mapTarget } from "../map_target.ts";
import { gauge } from "../metrics.ts";
import { sharesOf } from "../conntrack/shares.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { podCidrsOf } from "../nodes/pod_networks.ts";
import type { Part } from "../part.ts";
import type { PolicyPart } from "../policy/policy_part.ts";
import { slotOf } from "../slot_target.ts";
import { drainDeleteQueue } from "./delete_queue.ts";
import { EndpointManager } from "./endpoint_manager.ts";
import type { EndpointRequest } from "./endpoint_request.ts";
import {
  endpointMapRow,
  endpointMapTable,
  endpointMapTarget,
  namespaceMapTable,
} from "./endpoint_map.ts";
import { concernsEndpoint, endpointThatIsUp, Healing } from "./healing.ts";
import { findEndpoint } from "./find_endpoint.ts";
import { derivePublished } from "./published_endpoints.ts";

/** Milliseconds between tries to do the deletions that the CNI plugin has queued. */
const QUEUE_INTERVAL_MS = 5_000;

/** What {@linkcode endpointsPart} takes. */
export interface EndpointsPartOptions {
  config: AgentConfig;
  log: Log;
  kernel: Kernel;
  database: DatabaseSync;
  resources: ResourceTables;
  store: Pick<ClusterStore, "endpoints">;
  /** The one table of this node's endpoints; the part fills it. */
  endpoints: Table<Endpoint>;
  nodes: Table<ClusterNode>;
  /** This node as it was when the agent started. */
  self: ClusterNode;
  /** Of the way to other nodes' pods, in bytes. */
  clusterMtu: number;
  identity: IdentityPart;
  policy: PolicyPart;
  ipcache: IpcachePart;
  attachments: AttachmentsPart;
  /** The bandwidth of endpoints. */
  limits: Table<LimitRow>;
}

/** See the module. */
export interface EndpointsPart extends Part {
  readonly manager: EndpointManager;
}

/** Wires the runtime's requests to devices, rows and programs of endpoints. */
export function endpointsPart(options: EndpointsPartOptions): EndpointsPart {
  const { config, log, kernel, database, resources, store, endpoints, nodes, self, clusterMtu } =
    options;
  const { identity, policy, ipcache, attachments, limits } = options;
  const { identified } = identity;
  const { assignments } = policy;
  const stack = new AsyncDisposableStack();
  const repairIntervalMs = config.repairInterval * 1000;

  const mapRow = remembered(endpointMapRow);
  const rows = endpointMapTable();
  stack.use(derive(
    [identified, assignments, limits],
    () =>
      identified.rows().map((row) => {
        const made = mapRow(row, assignments.get(String(row.endpoint.id)));
        const limited = limits.get(String(row.endpoint.hostIfindex));
        return limited ? { ...made, value: { ...made.value, flags: limitFlags(limited) } } : made;
      }),
    rows,
  ));
  const namespaceRows = namespaceMapTable();
  stack.use(derive(
    [identified],
    () =>
      identified.rows().map(({ endpoint: { netnsCookie, hostIfindex } }) => ({
        key: BigInt(netnsCookie),
        value: hostIfindex,
      })),
    namespaceRows,
  ));
  const { published } = stack.use(
    derivePublished({
      identified,
      pods: resources.Pod,
      nodes,
      self: () => nodes.get(config.nodeName) ?? self,
    }),
  );

  const installing = stack.use(
    new Reconciler({
      name: "endpoints",
      desired: rows,
      target: endpointMapTarget(kernel.maps.pilus_endpoints),
      repairIntervalMs,
    }),
  );
  const namespaces = kernel.maps.pilus_namespaces
    ? stack.use(
      new Reconciler({
        name: "namespaces",
        desired: namespaceRows,
        target: mapTarget(kernel.maps.pilus_namespaces),
        repairIntervalMs,
      }),
    )
    : undefined;
  const publishing = stack.use(
    new Reconciler({
      name: "published-endpoints",
      desired: published,
      target: store.endpoints,
      repairIntervalMs,
    }),
  );

  /** Resolves when the endpoint's row in the kernel is what the tables say. */
  const installed = async (endpoint: Endpoint) => {
    await identity.settled();
    await policy.installer.settled();
    await installing.flush([String(slotOf(endpoint.hostIfindex))]);
  };
  const waitForPod = async (request: EndpointRequest, signal?: AbortSignal) => {
    const key = podKey({ namespace: "", pod: "", ...request });
    const { manifestWait } = config;
    if (key === undefined) return;
    const { podUid: uid = "" } = request;
    const wait = { uid, timeout: manifestWait * 1000, signal };
    const found = await awaitPod(resources.Pod, key, wait);
    if (found === "found" || signal?.aborted) return;
    if (found === "other") {
      // with its labels the pod would be what it is not
      throw new EndpointError(
        "outdated",
        `the sources have Pod ${key} with another UID than ${uid} after ${manifestWait} s`,
        { hint: "an older Pod of that name; the runtime tries again" },
      );
    }
    log.warn("no source has the pod's manifest: it is reserved:init until one does", {
      pod: key,
      waited: `${manifestWait} s`,
    });
  };
  const manager = stack.use(
    new EndpointManager({
      database,
      runDirectory: config.runDir,
      table: endpoints,
      podCidrs: podCidrsOf(self).map(formatCidr),
      clusterCidrs: config.clusterCidrs,
      mtu: kernel.deviceMtu,
      clusterMtu,
      awaitPod: waitForPod,
      datapath: {
        async attach(endpoint) {
          await installed(endpoint);
          const addresses = [endpoint.ipv4, endpoint.ipv6].filter((ip) => ip !== undefined);
          await ipcache.addresses.flush(addresses.map((ip) => formatIp(parseIp(ip))));
          await attachments.attach(endpoint);
        },
        async detach(endpoint) {
          await attachments.detach(endpoint);
          await installed(endpoint);
        },
        serves: (ifindex) => kernel.maps.pilus_endpoints.get(slotOf(ifindex))?.ifindex === ifindex,
      },
      onError: (what, error) => log.error(what, { error: String(error) }),
    }),
  );

  attachments.expect(endpoints.rows());

  /** Keys of endpoints whose devices have come up. */
  const cameUp = new Set<string>();
  /** Whether any endpoint may have lost something. */
  let any = false;
  const heal = async () => {
    const up = [...cameUp], all = any;
    cameUp.clear();
    any = false;
    for (const endpoint of manager.restorePods(up)) {
      log.warn("pod given back what it lost while its device was down", { endpoint });
    }
    if (!all) {
      manager.repair(up);
      return;
    }
    manager.repair();
    for (const endpoint of manager.lost()) {
      if (await manager.rebuild(endpoint)) log.warn("device of endpoint made anew", { endpoint });
    }
  };
  const onError = (error: unknown) =>
    log.error("periodic work on endpoints failed", { error: String(error) });
  const restore = async () => {
    const { restored, dropped } = await manager.restore();
    for (const { endpoint, reason } of dropped) {
      log.warn("endpoint not restored", { endpoint: endpointKey(endpoint), reason });
    }
    log.info("endpoints restored", { count: restored.length });
  };
  const drainQueue = async () => {
    const { deleted, failed } = await drainDeleteQueue(
      config.stateDir,
      (containerId, ifname) => manager.delete(containerId, ifname),
    );
    for (const endpoint of deleted) log.info("queued deletion done", { endpoint });
    for (const { file, reason } of failed) log.warn("queued deletion failed", { file, reason });
  };

  const withoutManifest = () => identified.rows().filter(lacksManifest).length;
  const view = (endpoint: Endpoint): EndpointView => {
    const id = String(endpoint.id);
    const row = identified.get(id);
    const wanted = policy.tables.wanted.get(id)?.policy;
    const assignment = assignments.get(id);
    return {
      ...endpoint,
      identity: row?.identity ?? 0,
      labels: row ? formatLabels(row.labels) : [],
      manifest: podKey(endpoint) === undefined
        ? "none"
        : row && lacksManifest(row)
        ? "missing"
        : "found",
      enforcing: {
        ingress: wanted?.ingress.enforced ?? false,
        egress: wanted?.egress.enforced ?? false,
      },
      policy: assignment?.policy ?? 0,
      revision: assignment?.revision ?? 0,
      shares: sharesOf(kernel.maps, endpoint.hostIfindex),
    };
  };

  return {
    name: "endpoints",
    manager,
    reconcilers: [installing, ...namespaces ? [namespaces] : [], publishing],
    routes: {
      "GET /v1/endpoints": () => endpoints.rows().map(view).sort((a, b) => a.id - b.id),
      "GET /v1/endpoints/{id}": ({ params }) => view(findEndpoint(endpoints, params.id!)),
    },
    maps: {
      pilus_endpoints: {
        row: (key, value) =>
          (value as { ifindex: number }).ifindex === 0 ? undefined : { key, value },
      },
    },
    async start() {
      await restore();
      await drainQueue();
      stack.use(periodically(QUEUE_INTERVAL_MS, drainQueue, onError));
      const healing = new Healing(heal, onError);
      const healAll = () => {
        any = true;
        healing.soon();
      };
      stack.use(periodically(repairIntervalMs, healAll, onError));
      stack.use(kernel.facts.listen((notices) => {
        for (const notice of notices) {
          const up = endpointThatIsUp(notice, endpoints);
          if (up) cameUp.add(endpointKey(up));
          if (concernsEndpoint(notice, endpoints, manager.router)) healAll();
          else if (up) healing.soon();
        }
      }));
      stack.use(healing);
    },
    metrics: () => [
      ...Object.entries(Object.groupBy(endpoints.rows(), ({ state }) => state)).map(
        ([state, list = []]) =>
          gauge("endpoint_state", "Endpoints by state", list.length, { state }),
      ),
      gauge(
        "endpoints_without_manifest",
        "Endpoints whose Pod no source has",
        withoutManifest(),
      ),
      ...manager.usage().flatMap(({ family, range, used, capacity }) => {
        const labels = { family: String(family), range };
        return [
          gauge("ip_addresses", "Addresses given to pods", Number(used), labels),
          gauge("ipam_capacity", "Addresses there are for pods", Number(capacity), labels),
        ];
      }),
    ],
    status: () => ({
      addresses: manager.usage().map(({ family, used, capacity }) => ({
        family: String(family),
        used: Number(used),
        capacity: Number(capacity),
      })),
      endpoints: {
        total: endpoints.size,
        ready: endpoints.rows().filter(({ state }) => state === "ready").length,
      },
      endpointsWithoutManifest: withoutManifest(),
    }),
    health() {
      const failed = endpoints.rows().find(({ state }) => state === "failed");
      return failed && `endpoint ${endpointKey(failed)}: ${failed.reason}`;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

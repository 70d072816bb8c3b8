/** The agent: everything wired, from the sources to the kernel. */

import type { DatabaseSync } from "node:sqlite";
import { openPipe } from "../../datapath/ffi/libc.ts";
import { checkRequirements, Loader } from "../../datapath/loader.ts";
import { chooseLocalPath, type LocalPathState } from "../../datapath/local_path.ts";
import { TraceLevel } from "../../datapath/maps/generated.ts";
import { openMaps, type PilusMaps } from "../../datapath/maps/mod.ts";
import { cidrContains, formatCidr, formatIp, parseIp } from "../../datapath/net/ip.ts";
import { findLink } from "../../datapath/net/link.ts";
import { NetlinkSocket } from "../../datapath/net/netlink.ts";
import { writeSysctls } from "../../datapath/net/netns.ts";
import type { WireState } from "../../datapath/wire.ts";
import type { AgentState } from "./api/agent_state.ts";
import { balancerRoutes } from "./api/balancer_routes.ts";
import { endpointRoutes } from "./api/endpoint_routes.ts";
import { metricRows } from "./api/metric_rows.ts";
import { METRICS_CONTENT_TYPE, metricsText } from "../api/metrics_text.ts";
import { readRoutes } from "./api/read_routes.ts";
import { type ApiServer, serveApi } from "../api/server.ts";
import { type AgentConfig, VERSION, VXLAN_OVERHEAD } from "./config.ts";
import { installCniBinary, writeCniConfig } from "./endpoints/cni_config.ts";
import { drainDeleteQueue } from "./endpoints/delete_queue.ts";
import { type Endpoint, endpointKey } from "../api/endpoint.ts";
import { endpointMapTarget, type NO_ENDPOINT, slotOf } from "./endpoints/endpoint_map.ts";
import { EndpointManager } from "./endpoints/endpoint_manager.ts";
import { FlowReader } from "./observer/flow_reader.ts";
import { Shortages } from "./conntrack/exhaustion.ts";
import { EndpointIdentities } from "./identity/endpoint_identities.ts";
import { formatLabels } from "../cluster/labels.ts";
import type { Log } from "../core/log.ts";
import { Model } from "./model.ts";
import type { AddressRow } from "./ipcache/ipcache_maps.ts";
import { findDevices, type NodeDevice } from "../sources/kernel/devices.ts";
import type { ClusterNode } from "./nodes/nodes.ts";
import { PREFILTER_BATCH, prefilterTarget } from "./prefilter/prefilter_map.ts";
import { routeTarget } from "./nodes/route_target.ts";
import { ensureTunnel, raiseTunnel } from "./nodes/tunnel.ts";
import { PolicyInstaller } from "./policy/installer.ts";
import { policyTarget, samePolicy } from "./policy/policy_maps.ts";
import type { PolicyIdentity } from "./policy/resolve.ts";
import { HealthCheckServers } from "./services/health_checks.ts";
import { SeveredBackends } from "./services/stale_sockets.ts";
import { keepMemorySmall } from "./memory.ts";
import { MemberMap } from "./services/kernel/member_map.ts";
import { sameService, ServiceMaps } from "./services/kernel/service_maps.ts";
import { FileSource } from "../sources/files/file_source.ts";
import { PrefilterFile } from "./prefilter/prefilter_file.ts";
import { EndpointFiles, FileIdentities } from "../cluster/files/published.ts";
import { openDatabase } from "./database.ts";
import { type MapRow, mapTable, mapTarget } from "./map_target.ts";
import { Reconciler, type ReconcilerStatus } from "../core/reconciler.ts";
import { watchDerivationFailures } from "../core/derivation_failures.ts";
import { settled } from "../core/schedule.ts";

/** Milliseconds between looks for what has run out in conntrack and NAT. */
const GARBAGE_INTERVAL_MS = 30_000;

/** Milliseconds between tries to do the deletions that the CNI plugin has queued. */
const QUEUE_INTERVAL_MS = 5_000;

/** The row of pilus_node before anything is known. */
const NO_NODE = {
  ipv4: new Uint8Array(16),
  ipv6: new Uint8Array(16),
  routerIpv4: new Uint8Array(16),
  routerIpv6: new Uint8Array(16),
  denied: 0,
  hostBackends: 0,
};

/** A running agent. Disposing leaves the datapath in place: traffic goes on without it. */
export class Agent implements AgentState, AsyncDisposable {
  readonly config: AgentConfig;
  readonly log: Log;
  readonly startedAt = new Date();
  readonly model: Model;
  readonly #stack = new AsyncDisposableStack();
  readonly #reconcilers: Reconciler<never>[] = [];
  readonly wires: WireState[] = [];
  #failure: string | undefined = "starting";

  // what needs the kernel, in the order it is made
  maps!: PilusMaps;
  loader!: Loader;
  source!: FileSource;
  devices!: NodeDevice[];
  manager!: EndpointManager;
  flows!: FlowReader;
  shortages!: Shortages;
  localPath!: LocalPathState;
  serviceMaps!: ServiceMaps;
  servicesWithoutTable = 0;
  installer!: PolicyInstaller;
  #identities!: EndpointIdentities;
  #endpointReconciler!: Reconciler<MapRow<number, typeof NO_ENDPOINT>>;
  #addressReconciler!: Reconciler<AddressRow>;

  private constructor(config: AgentConfig, log: Log) {
    this.config = config;
    this.log = log;
    this.model = new Model({
      nodeName: config.nodeName,
      routing: config.routing,
      clusterCidrs: config.clusterCidrs,
      balancing: {
        mode: config.lbMode,
        dispatch: config.dsrDispatch,
        algorithm: config.lbAlgorithm,
      },
      nodePortRange: config.nodePortRange,
    });
  }

  /** Starts and resolves when the node is ready for pods. Throws when it cannot become so. */
  static async start(config: AgentConfig, log: Log): Promise<Agent> {
    checkRequirements(config.bpffs);
    const agent = new Agent(config, log);
    try {
      await agent.#start();
      return agent;
    } catch (error) {
      await agent[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Undefined when all is well, else what is not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  reconcilers(): ReconcilerStatus[] {
    return this.#reconcilers.map((reconciler) => reconciler.status());
  }

  async #start(): Promise<void> {
    const { config, log } = this;
    this.#stack.use(keepMemorySmall());
    this.#stack.use(watchDerivationFailures(({ state, ...failure }) => {
      if (state === "failed") log.error("derivation failed, rows from before stay", failure);
      else log.info("derivation recovered", { table: failure.table, key: failure.key });
    }));
    Deno.mkdirSync(config.runDir, { recursive: true, mode: 0o700 });
    const database = openDatabase(config.stateDir);
    this.#stack.defer(() => database.close());
    const netlink = this.#stack.use(NetlinkSocket.open());

    this.source = this.#stack.use(
      new FileSource({
        directory: config.manifests,
        stateDirectory: `${config.stateDir}/last-good`,
        tables: this.model.tables,
      }),
    );
    this.devices = findDevices(netlink, config.devices);
    const deviceMtu = Math.min(...this.devices.map(({ mtu }) => mtu));
    const vxlan = config.routing === "vxlan";
    const tunnel = vxlan
      ? ensureTunnel(netlink, config.tunnelPort, deviceMtu - VXLAN_OVERHEAD.ipv6)
      : 0;
    prepareForwarding();

    const localPath = await chooseLocalPath(config.localPath);
    // the kernel verifies while the manifests are read
    const loading = Loader.load({
      bpffs: config.bpffs,
      routing: config.routing,
      masquerade: config.masquerade,
      tunnelIfindex: tunnel,
      tunnelPort: config.tunnelPort,
      maglevSize: config.maglevSize,
      natPortRange: config.natPortRange,
      localPath: localPath.on,
      mapSizes: config.mapSizes,
    });
    this.#stack.defer(async () => (await loading.catch(() => undefined))?.[Symbol.dispose]());
    const [self, loader] = await Promise.all([this.#findSelf(), loading]);
    const overhead = self.ipv4 ? VXLAN_OVERHEAD.ipv4 : VXLAN_OVERHEAD.ipv6;
    const clusterMtu = vxlan ? deviceMtu - overhead : deviceMtu;
    if (vxlan) raiseTunnel(netlink, clusterMtu);

    this.loader = loader;
    this.localPath = this.loader.localPathError
      ? { on: false, reason: this.loader.localPathError.message }
      : localPath;
    this.maps = this.#stack.use(openMaps(this.loader.mapDirectory));
    this.maps.pilus_runtime.set(0, {
      traceLevel: TraceLevel.LEVEL_CONNECTIONS,
      localPath: Number(this.localPath.on),
    });

    this.#identities = this.#stack.use(
      this.#startIdentities(),
    );
    this.manager = this.#stack.use(this.#createManager(database, self, deviceMtu, clusterMtu));
    this.model.settle({
      self,
      tunnel,
      mtu: clusterMtu,
      device: this.devices[0]!.ifindex,
      services: this.maps.pilus_services.entries(),
    });
    await this.#startReconcilers(netlink);
    this.flows = this.#stack.use(this.#startFlows(netlink));
    this.shortages = this.#stack.use(new Shortages(this.maps.pilus_metrics));

    const restored = await this.manager.restore();
    this.model.endpoints.replace(this.manager.table.rows());
    for (const { endpoint, reason } of restored.dropped) {
      log.warn("endpoint not restored", { endpoint: endpointKey(endpoint), reason });
    }
    log.info("endpoints restored", { count: restored.restored.length });

    for (const { name, ifindex } of this.devices) this.loader.attachDevice("host", ifindex, name);
    this.#attachWires();
    if (tunnel) this.loader.attachDevice("overlay", tunnel, "tunnel");
    this.loader.attachSockets(config.cgroup);
    if (this.localPath.on) this.loader.attachLocalPath(config.cgroup);
    else this.loader.detachLocalPath();

    this.#severBackends();
    this.#stack.use(
      new HealthCheckServers(
        this.model.frontendTables.healthChecks,
        ({ namespace, name, port }, error) =>
          log.warn("health check port not served", {
            service: `${namespace}/${name}`,
            port,
            error: String(error),
          }),
      ),
    );
    await this.#drainQueue();
    this.#every(QUEUE_INTERVAL_MS, () => this.#drainQueue());
    this.#every(GARBAGE_INTERVAL_MS, () => this.loader.collectGarbage());
    this.#every(config.repairInterval * 1000, () => void this.manager.repair());

    this.#failure = undefined;
    const server: ApiServer = await serveApi({
      openPipe,
      socket: `${config.runDir}/pilus.sock`,
      routes: { ...readRoutes(this), ...balancerRoutes(this), ...endpointRoutes(this.manager) },
      onError: (request, error) => log.error("request failed", { request, error: String(error) }),
    });
    this.#stack.use(server);
    if (config.metrics) this.#serveMetrics(config.metrics);
    this.#installCni();
    log.info("ready", {
      version: VERSION,
      node: config.nodeName,
      routing: config.routing,
      ms: Date.now() - this.startedAt.getTime(),
    });
  }

  /** Reads the manifests. Until the node's is there nothing is known of addresses for pods. */
  async #findSelf(): Promise<ClusterNode> {
    await this.source.start();
    await settled();
    for (let told = false; !this.#stack.disposed; told = true) {
      const self = this.model.self;
      if (self && (self.podCidrIpv4 || self.podCidrIpv6)) return self;
      if (!told) {
        this.log.warn("waiting for the node's manifest with podCIDRs", {
          node: this.config.nodeName,
          manifests: this.config.manifests,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw new Error("The agent ends");
  }

  #startIdentities(): EndpointIdentities {
    const { config, log } = this;
    return new EndpointIdentities({
      endpoints: this.model.endpoints,
      pods: this.model.tables.Pod,
      namespaces: this.model.tables.Namespace,
      output: this.model.identified,
      allocator: new FileIdentities(config.manifests),
      known: async (identity) => {
        if (!this.model.tables.CiliumIdentity.has(String(identity))) await this.source.scan();
      },
      onError: (endpoint, error) =>
        log.error("no identity", { endpoint: endpointKey(endpoint), error: error.message }),
    });
  }

  #createManager(
    database: DatabaseSync,
    self: ClusterNode,
    mtu: number,
    clusterMtu: number,
  ): EndpointManager {
    const { config } = this;
    const manager = new EndpointManager({
      database,
      podCidrs: [self.podCidrIpv4, self.podCidrIpv6].filter((c) => c !== undefined).map(formatCidr),
      clusterCidrs: config.clusterCidrs,
      mtu,
      clusterMtu,
      datapath: {
        attach: (endpoint) => this.#attach(endpoint),
        detach: (endpoint) => this.#detach(endpoint),
      },
    });
    this.#stack.use(manager.table.watch((changes) => {
      for (const change of changes) {
        if (change.kind === "deleted") this.model.endpoints.delete(change.key);
        else this.model.endpoints.set(change.row);
      }
    }));
    return manager;
  }

  async #attach(endpoint: Endpoint): Promise<void> {
    this.model.endpoints.set(endpoint);
    await this.#identities.settled();
    await this.installer.settled();
    await this.#endpointReconciler.flush([String(slotOf(endpoint.hostIfindex))]);
    const addresses = [endpoint.ipv4, endpoint.ipv6].filter((ip) => ip !== undefined);
    await this.#addressReconciler.flush(addresses.map((ip) => formatIp(parseIp(ip))));
    this.loader.attachDevice("pod", endpoint.hostIfindex, endpoint.hostIfname);
  }

  async #detach(endpoint: Endpoint): Promise<void> {
    this.loader.detachDevice(endpoint.hostIfindex, endpoint.hostIfname);
    this.model.endpoints.delete(endpointKey(endpoint));
    await this.#identities.settled();
    await this.installer.settled();
    await this.#endpointReconciler.flush([String(slotOf(endpoint.hostIfindex))]);
  }

  async #startReconcilers(netlink: NetlinkSocket): Promise<void> {
    const { maps, log, config } = this;
    const repairIntervalMs = config.repairInterval * 1000;

    const devices = mapTable<number, { ipv4: Uint8Array; ipv6: Uint8Array }>("devices", String);
    const none = new Uint8Array(16);
    for (const { ifindex, ipv4, ipv6 } of this.devices) {
      devices.set({
        key: ifindex,
        value: { ipv4: ipv4 ? parseIp(ipv4) : none, ipv6: ipv6 ? parseIp(ipv6) : none },
      });
    }

    const endpointTarget = endpointMapTarget(maps.pilus_endpoints);
    const target = policyTarget(maps.pilus_policies, maps.pilus_rules);
    const policies = new Reconciler({
      name: "policies",
      desired: this.model.policies,
      target,
      matches: samePolicy,
      repairIntervalMs,
    });
    this.installer = new PolicyInstaller({
      wanted: this.model.policyTables.wanted,
      policies: this.model.policies,
      assignments: this.model.assignments,
      reconciler: policies,
      before: {
        policies: target.read() ?? [],
        assignments: [...endpointTarget.read() ?? []].map(({ value }) => ({
          endpoint: value.id,
          policy: value.policy,
          revision: value.revision,
        })),
      },
      onError: (endpoint, error) =>
        log.error("policy not installed", { endpoint, error: error.message }),
    });
    this.#endpointReconciler = new Reconciler({
      name: "endpoints",
      desired: this.model.endpointRows,
      target: endpointTarget,
      repairIntervalMs,
    });
    this.#addressReconciler = new Reconciler({
      name: "ipcache",
      desired: this.model.addressRows,
      target: mapTarget(maps.pilus_ipcache),
      repairIntervalMs,
    });
    const denied = prefilterTarget(maps.pilus_denied);
    if (config.prefilter) {
      this.#stack.use(
        new PrefilterFile({
          path: config.prefilter,
          output: this.model.prefilter,
          problems: this.model.prefilterProblems,
          before: denied.read() ?? [],
        }),
      ).start();
    }
    this.serviceMaps = this.#stack.use(
      new ServiceMaps({
        services: maps.pilus_services,
        backends: maps.pilus_backends,
        maglev: maps.pilus_maglev,
        maglevSize: config.maglevSize,
        onShortage: (services) => {
          this.servicesWithoutTable = services;
          if (services > 0) {
            log.warn("no room for Maglev tables: backends are chosen by lot", {
              services,
              fix: "start the agent with a larger --map-size pilus_maglev",
            });
          }
        },
      }),
    );
    const { serviceTables } = this.model;
    const all = [
      policies,
      this.#endpointReconciler,
      this.#addressReconciler,
      ...maps.pilus_namespaces
        ? [
          new Reconciler({
            name: "namespaces",
            desired: this.model.namespaceRows,
            target: mapTarget(maps.pilus_namespaces),
            repairIntervalMs,
          }),
        ]
        : [],
      new Reconciler({
        name: "cidrs",
        desired: this.model.cidrRows,
        target: mapTarget(maps.pilus_cidrs),
        repairIntervalMs,
      }),
      new Reconciler({
        name: "services",
        desired: serviceTables.services,
        target: this.serviceMaps,
        matches: sameService,
        repairIntervalMs,
      }),
      new Reconciler({
        name: "service-members",
        desired: serviceTables.services,
        target: new MemberMap(maps.pilus_members),
        matches: sameService,
        repairIntervalMs,
      }),
      new Reconciler({
        name: "source-ranges",
        desired: serviceTables.sourceRanges,
        target: mapTarget(maps.pilus_source_ranges),
        repairIntervalMs,
      }),
      new Reconciler({
        name: "tunnelled",
        desired: serviceTables.tunnelled,
        target: mapTarget(maps.pilus_tunnelled),
        repairIntervalMs,
      }),
      new Reconciler({
        name: "node",
        desired: this.model.nodeRows,
        target: mapTarget(maps.pilus_node, {
          none: {
            value: NO_NODE,
            is: ({ ipv4, ipv6 }) => [...ipv4, ...ipv6].every((b) => b === 0),
          },
        }),
        repairIntervalMs,
      }),
      new Reconciler({
        name: "prefilter",
        desired: this.model.prefilter,
        target: denied,
        matches: () => true,
        batchSize: PREFILTER_BATCH,
        repairIntervalMs,
      }),
      new Reconciler({
        name: "devices",
        desired: devices,
        target: mapTarget(maps.pilus_devices),
        repairIntervalMs,
      }),
      new Reconciler({
        name: "routes",
        desired: this.model.routes,
        target: routeTarget(netlink),
        repairIntervalMs,
      }),
      new Reconciler({
        name: "published-endpoints",
        desired: this.model.published,
        target: new EndpointFiles(config.manifests, config.nodeName),
        repairIntervalMs,
      }),
    ];
    // stored endpoints are known to the tables before a reconciler may take them for strays
    this.model.endpoints.replace(this.manager.stored());
    await this.#identities.settled();
    for (const reconciler of all) {
      this.#reconcilers.push(reconciler as unknown as Reconciler<never>);
      this.#stack.use(reconciler as unknown as AsyncDisposable);
    }
    await policies.start();
    await this.installer.start();
    // an address that is somebody else now: what was allowed to the one before is not to this one
    this.#stack.use(this.model.ipcacheTables.ipcache.watch((changes) => {
      const other = changes.some((change) =>
        change.kind === "updated" && change.row.identity !== change.previous.identity
      );
      if (other) this.installer.rejudge();
    }));
    this.#stack.defer(() => this.installer.stop());
    await settled();
    for (const reconciler of all.slice(1)) await reconciler.start();
  }

  #startFlows(netlink: NetlinkSocket): FlowReader {
    const names = new Map<number, string>();
    const labels = new WeakMap<PolicyIdentity, string[]>();
    return new FlowReader(this.maps.pilus_events, this.maps.pilus_lost, {
      labels: (identity) => {
        const row = this.model.policyTables.identities.get(String(identity));
        if (!row) return undefined;
        let texts = labels.get(row);
        if (!texts) labels.set(row, texts = formatLabels(row.labels));
        return texts;
      },
      pod: (ip) => this.model.podOf(ip),
      interface: (ifindex) => {
        let name = names.get(ifindex);
        if (name === undefined) {
          name = findLink(netlink, ifindex)?.name ?? String(ifindex);
          names.set(ifindex, name);
        }
        return name;
      },
      rule: (cookie) => this.model.cookies.get(cookie)?.text,
    });
  }

  /** Ends the sockets of backends that are gone. */
  #severBackends(): void {
    const { model, log } = this;
    const inCluster = (ip: Uint8Array) =>
      model.nodeTables.nodes.rows().some(({ podCidrIpv4, podCidrIpv6 }) =>
        [podCidrIpv4, podCidrIpv6].some((cidr) => cidr && cidrContains(cidr, ip))
      );
    this.#stack.use(
      new SeveredBackends({
        frontends: model.frontendTables.frontends,
        before: this.maps.pilus_reverse.keys().filter(({ backend }) => inCluster(backend)).flatMap(
          ({ backend, port }) =>
            [6, 17].map((protocol) => ({ address: backend.slice(), port, protocol })),
        ),
        pods: [model.identified, model.tables.CiliumEndpoint],
        lives: (ip) => model.podOf(ip) !== undefined,
        namespaces: () => this.manager.table.rows().map(({ netns }) => netns),
        onError: (error) => log.warn("sockets to backends not ended", { error: String(error) }),
        onSevered: (peers, sockets) => {
          if (sockets > 0) {
            log.info("sockets to backends ended", { backends: peers.length, sockets });
          }
        },
      }),
    );
  }

  #attachWires(): void {
    this.loader.detachWiresBut(this.devices.map(({ name }) => name));
    for (const { name, ifindex } of this.devices) {
      const wire = this.loader.attachWire(ifindex, name, this.config.xdp);
      this.wires.push(wire);
      this.log.info("XDP", { ...wire });
    }
  }

  async #drainQueue(): Promise<void> {
    const { deleted, failed } = await drainDeleteQueue(
      this.config.stateDir,
      (containerId, ifname, options) => this.manager.delete(containerId, ifname, options),
    );
    for (const endpoint of deleted) this.log.info("queued deletion done", { endpoint });
    for (const { file, reason } of failed) {
      this.log.warn("queued deletion failed", { file, reason });
    }
  }

  /** For Prometheus: nothing but /metrics, on the address that was asked for. */
  #serveMetrics(address: string): void {
    const { hostname, port } = parseHostPort(address);
    const server = Deno.serve(
      { hostname, port, onListen: () => {} },
      async (request) =>
        new URL(request.url).pathname === "/metrics"
          ? new Response(metricsText(await metricRows(this)), {
            headers: { "content-type": METRICS_CONTENT_TYPE },
          })
          : new Response("Only /metrics is here\n", { status: 404 }),
    );
    this.#stack.defer(() => server.shutdown());
  }

  #installCni(): void {
    const { cniConfDir, cniBinDir, runDir, stateDir } = this.config;
    if (cniBinDir) installCniBinary(Deno.execPath(), { directory: cniBinDir });
    if (cniConfDir) {
      writeCniConfig({ directory: cniConfDir, socket: `${runDir}/pilus.sock`, stateDir });
    }
  }

  /** Runs `work` on a timer; a failure is logged and the next turn comes. */
  #every(ms: number, work: () => unknown): void {
    let busy = false;
    const timer = setInterval(async () => {
      if (busy) return;
      busy = true;
      try {
        await work();
      } catch (error) {
        this.log.error("periodic work failed", { error: String(error) });
      } finally {
        busy = false;
      }
    }, ms);
    this.#stack.defer(() => clearInterval(timer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
    this.model[Symbol.dispose]();
  }
}

/** HOST:PORT, the host in brackets when it is IPv6; without a host it is the loopback. Throws TypeError. */
function parseHostPort(text: string): { hostname: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65535) {
    throw new TypeError(`--metrics takes HOST:PORT, such as 127.0.0.1:9962, not ${text}`);
  }
  return { hostname: match[1] ?? (match[2] || "127.0.0.1"), port };
}

/** Routing between pods and the network; the stack's own reverse-path check knows nothing of tunnels. */
function prepareForwarding(): void {
  writeSysctls([
    ["ipv4/ip_forward", "1"],
    ["ipv6/conf/all/forwarding", "1"],
    ["ipv4/conf/all/rp_filter", "0"],
  ]);
}

/** The directory of the cgroup v2 hierarchy, as mounted. Throws Error that names the fix. */
export function findCgroup(): string {
  for (const line of Deno.readTextFileSync("/proc/self/mounts").split("\n")) {
    const [, path, type] = line.split(" ");
    if (type === "cgroup2" && path) return path;
  }
  throw new Error(
    "Cannot find a cgroup v2 hierarchy: mount one with `mount -t cgroup2 none /sys/fs/cgroup`",
  );
}

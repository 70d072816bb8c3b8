/** The agent: the kernel opened, its parts made, started and served. */

import { dirname } from "@std/path";
import { ensureBpffs } from "../../datapath/bpffs.ts";
import { checkRequirements } from "../../datapath/loader.ts";
import type { HttpResponse } from "../api/http/http_response.ts";
import { clearSocket, serveApi } from "../api/server.ts";
import type { Log } from "../core/log.ts";
import { settled } from "../core/schedule.ts";
import { startingSlices } from "../core/time_slice.ts";
import { attachmentsPart } from "./attachments/attachments_part.ts";
import { bandwidthPart } from "./bandwidth/bandwidth_part.ts";
import { checkCgroup } from "./cgroup.ts";
import { type AgentConfig, VERSION } from "./config.ts";
import { conntrackPart } from "./conntrack/conntrack_part.ts";
import { openDatabase } from "../core/database.ts";
import { derivationsPart } from "./derivations_part.ts";
import { cniPart } from "./cni/cni_part.ts";
import { endpointTable } from "./endpoints/endpoint_manager.ts";
import { endpointsPart } from "./endpoints/endpoints_part.ts";
import { hubbleListeners } from "./hubble/hubble_listeners.ts";
import { hubblePart } from "./hubble/hubble_part.ts";
import { identityPart } from "./identity/identity_part.ts";
import { AddressNames } from "./ipcache/address_names.ts";
import { deriveOwnAddresses } from "./ipcache/own_addresses.ts";
import { ipcachePart } from "./ipcache/ipcache_part.ts";
import { openKernel } from "./kernel.ts";
import { mapsPart } from "./maps/maps_part.ts";
import { keepMemorySmall } from "./memory.ts";
import { serveMetrics } from "./metrics_server.ts";
import { deriveLoneNode } from "./nodes/lone_node.ts";
import { deriveNodes } from "./nodes/nodes.ts";
import { lockNode } from "./node_lock.ts";
import { nodesPart } from "./nodes/nodes_part.ts";
import { standAlone } from "./nodes/stand_alone.ts";
import { observerPart } from "./observer/observer_part.ts";
import type { Part } from "./part.ts";
import { publishedPart } from "./published_part.ts";
import { policyPart } from "./policy/policy_part.ts";
import { prefilterPart } from "./prefilter/prefilter_part.ts";
import { servicesPart } from "./services/services_part.ts";
import { deriveDevices } from "../sources/kernel/devices.ts";
import { KernelFacts } from "../sources/kernel/kernel_facts.ts";
import { sourcesPart } from "./sources_part.ts";
import { statePart } from "./state_part.ts";
import { AgentStatus } from "./status.ts";

/** A running agent. Disposing leaves the datapath in place: traffic goes on without it. */
export class Agent implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  private constructor(stack: AsyncDisposableStack) {
    this.#stack = stack;
  }

  /** Starts and resolves when the node is ready for pods. Throws when it cannot become so. */
  static async start(config: AgentConfig, log: Log): Promise<Agent> {
    const stack = new AsyncDisposableStack();
    try {
      await start(config, log, stack);
      return new Agent(stack);
    } catch (error) {
      await stack.disposeAsync();
      throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

async function start(config: AgentConfig, log: Log, stack: AsyncDisposableStack): Promise<void> {
  using _slices = startingSlices();
  const startedAt = new Date();
  checkRequirements();
  const mountPoint = dirname(config.bpffs);
  if (ensureBpffs(mountPoint)) log.info("bpffs mounted", { directory: mountPoint });
  checkCgroup(config.cgroup);
  stack.use(await lockNode(config));
  // what cannot be had is found before anything of the node is touched
  let countMetrics = (): Promise<HttpResponse | undefined> => Promise.resolve(undefined);
  if (config.metrics) stack.use(serveMetrics(config.metrics, () => countMetrics(), log));
  const socket = `${config.runDir}/pilus.sock`;
  await clearSocket(socket);
  const listeners = await hubbleListeners(config);
  stack.defer(() => listeners.forEach(closeListener));
  stack.use(keepMemorySmall());
  const derivations = stack.use(derivationsPart({ log }));
  const database = openDatabase(`${config.stateDir}/pilus.db`, (reason, path) => {
    log.error("state was spoilt; endpoints are taken from the run directory", { reason, path });
  });
  stack.defer(() => database.close());

  const sources = stack.use(sourcesPart({ config, log }));
  const facts = stack.use(KernelFacts.open());
  const { devices } = stack.use(deriveDevices(facts, config.devices));
  const lone = stack.use(deriveLoneNode(devices, config.nodeName));
  const nodes = stack.use(deriveNodes(sources.tables.Node, config.nodeName, lone.nodes));
  // the kernel verifies while the manifests are read
  const opening = openKernel(config, facts, devices);
  stack.defer(async () => (await opening.catch(() => undefined))?.[Symbol.dispose]());
  const alone = () => standAlone({ config, log, facts, database, lone });
  const [self, kernel] = await Promise.all([sources.findSelf(nodes, alone), opening]);
  const clusterMtu = kernel.raise(self);

  const { tables: resources } = sources;
  const published = stack.use(
    publishedPart({
      store: sources.store,
      nodes: nodes.nodes,
      pods: resources.Pod,
      knowsAllPods: sources.knowsAllPods,
      nodeName: config.nodeName,
    }),
  );
  const { store } = published;
  const endpoints = endpointTable();
  const identity = stack.use(identityPart({ config, log, endpoints, sources }));
  const names = new AddressNames({
    nodes: nodes.nodes,
    published: store.addresses,
    identified: identity.identified,
  });
  const { own } = stack.use(deriveOwnAddresses(facts.addresses));
  const policy = stack.use(
    policyPart({
      ...{ config, log, kernel, resources, store, endpoints, identity },
      ...{ nodes: nodes.nodes, own },
    }),
  );
  const services = stack.use(
    servicesPart({ config, log, kernel, resources, store, nodes, endpoints, identity, names }),
  );
  const ipcache = stack.use(ipcachePart({
    config,
    kernel,
    policy,
    identity,
    nodes: nodes.nodes,
    own,
    published: store.addresses,
    services: services.addresses,
  }));
  const prefilter = stack.use(prefilterPart({ config, kernel }));
  const attachments = stack.use(attachmentsPart({ config, log, kernel, endpoints }));
  const bandwidth = stack.use(bandwidthPart({ config, kernel, resources, endpoints }));
  const { limits } = bandwidth;
  const ends = stack.use(endpointsPart({
    ...{ config, log, kernel, database, resources, store, endpoints, self, clusterMtu },
    ...{ nodes: nodes.nodes, identity, policy, ipcache, attachments, limits },
  }));
  const { manager } = ends;
  const cni = stack.use(cniPart({ config, log, manager, health: () => status.readiness() }));
  const { denied } = prefilter;
  const { hostFrontends } = services;
  const observer = stack.use(observerPart({ config, log, kernel, names, policy, endpoints }));
  const parts: Part[] = [
    derivations,
    statePart(config),
    sources,
    published,
    identity,
    policy,
    ipcache,
    services,
    prefilter,
    stack.use(nodesPart({
      ...{ config, kernel, nodes, lone, own, self, clusterMtu, denied, hostFrontends },
    })),
    attachments,
    bandwidth,
    ends,
    cni,
    observer,
    stack.use(hubblePart({
      ...{ config, log, listeners, observer, names, policy, services, endpoints },
      ...{ identified: identity.identified, nodes: nodes.nodes },
    })),
    stack.use(conntrackPart({ log, kernel, endpoints })),
    stack.use(mapsPart({ kernel, parts: () => parts })),
  ];

  await identity.settled();
  await settled();
  for (const part of parts) {
    for (const reconciler of part.reconcilers ?? []) await reconciler.start();
    await part.start?.();
    await settled();
  }

  const status = new AgentStatus(config, startedAt, parts);
  countMetrics = () => status.metricsResponse();
  stack.use(
    await serveApi({
      socket,
      routes: status.routes(),
      onError: (request, error) => log.error("request failed", { request, error: String(error) }),
    }),
  );
  await cni.offer(socket);
  log.info("ready", {
    version: VERSION,
    node: config.nodeName,
    routing: config.routing,
    ms: Date.now() - startedAt.getTime(),
  });
}

function closeListener(listener: Deno.Listener): void {
  try {
    listener.close();
  } catch { /* the server has closed it */ }
}

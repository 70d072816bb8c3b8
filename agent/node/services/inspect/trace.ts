/** Which backend a new flow to a service would get, and why: by the kernel's maps, as programs read them. */

import {
  Identity,
  IpcacheFlags,
  type Service,
  ServiceFlags,
  type ServiceSide,
} from "../../../../datapath/maps/generated.ts";
import {
  cidrContains,
  formatCidr,
  formatIp,
  formatSocketAddress,
  isIpv4,
  parseIp,
} from "../../../../datapath/net/ip.ts";
import type { KernelBackendView, ServiceTraceView } from "../../../api/views.ts";
import { SOURCE_RANGE_HEAD_BITS } from "../kernel/source_ranges.ts";
import { maglevHash, slotOf } from "../kernel/flow_hash.ts";
import {
  backendOf,
  backendsOf,
  type BalancerMaps,
  flagNames,
  frontendText,
  readTable,
} from "./kernel_view.ts";
import { EXTERNAL, INTERNAL } from "../kernel/service_row.ts";
import { readSlot } from "../kernel/maglev.ts";

const TCP = 6, SECOND_NS = 1_000_000_000n;

/** The flow to follow. */
export interface TraceQuestion {
  frontend: { address: Uint8Array<ArrayBuffer>; port: number; protocol: number };
  /** 16 bytes; undefined: a process of this node. */
  client?: Uint8Array<ArrayBuffer>;
  clientPort?: number;
  /** Whether the client is a pod or a node. */
  internal: boolean;
  /** Of the client's network namespace when its sockets are translated here. */
  cookie?: bigint;
  maglevSize: number;
  /** CLOCK_MONOTONIC, ns. */
  now: bigint;
}

/** Follows the flow through the maps. */
export function traceService(maps: BalancerMaps, question: TraceQuestion): ServiceTraceView {
  const { frontend, client, clientPort, internal, cookie, now } = question;
  const steps: string[] = [];
  const base = {
    frontend: frontendText(frontend),
    client: client ? clientText(client, clientPort) : "a process of this node",
  };
  if (!internal && client && maps.pilus_prefilter.get({ prefixLength: 128, address: client })) {
    steps.push("the prefilter denies the client; see `pilus prefilter list`");
    return { ...base, steps, verdict: "dropped", backends: [] };
  }
  const row = maps.pilus_services.get(frontend) ??
    (internal ? nodePortRow(maps, frontend, steps) : undefined);
  if (!row) {
    steps.push(`${base.frontend} has no row in pilus_services`);
    return { ...base, steps, verdict: "no service", backends: [] };
  }
  const flags = flagNames(ServiceFlags, row.flags);
  const known = { ...base, service: row.id, flags, steps };
  steps.push(
    `service ${row.id}${flags.length > 0 ? ` (${flags.join(", ")})` : ""}; the client is ` +
      (internal
        ? "internal: internalTrafficPolicy decides"
        : "external: externalTrafficPolicy decides"),
  );
  const end = (verdict: ServiceTraceView["verdict"], backends: KernelBackendView[] = []) => ({
    ...known,
    verdict,
    backends,
  });
  if (!internal && !(row.flags & ServiceFlags.EXTERNAL)) {
    steps.push("it does not answer external clients");
    return end("dropped");
  }
  if (!internal && row.flags & ServiceFlags.SOURCE_RANGES) {
    const range = client && rangeOf(maps, row.id, client);
    steps.push(range ? `the source range ${range} lets it in` : "it is in no source range");
    if (!range) return end("dropped");
  }
  const side = row.side[internal ? INTERNAL : EXTERNAL]!;
  if (side.count === 0) {
    steps.push("no backend takes new connections");
    return end("refused");
  }
  steps.push(`${side.count} backends take new connections (rows ${side.set} and up)`);
  const found = (backend: KernelBackendView): ServiceTraceView => ({
    ...end("backend", [backend]),
    then: fate(maps, backend, row.flags, question),
  });

  const affinity = () =>
    row.affinityS > 0
      ? keptBackend(maps, row, side, internal, affinityClient(client, cookie), now, steps)
      : undefined;
  if (cookie !== undefined) {
    const kept = affinity();
    if (kept) return found(kept);
    steps.push("its socket is translated at connect(): the choice is random");
    return several(end, maps, side, found);
  }
  const slot = side.table && client && (row.affinityS > 0 || clientPort !== undefined)
    ? slotAt(maps, side, question, row.affinityS > 0, steps)
    : undefined;
  if (!slot || slot.ask || row.affinityS > 0) {
    const kept = chosenBackend(maps, side, question, steps) ?? affinity();
    if (kept) return found(kept);
  }
  if (slot) {
    const old = slot.young && frontend.protocol !== TCP;
    const backend = backendOf(maps, side, old ? slot.before : slot.now);
    if (old) steps.push("the slot has changed lately: datagrams without memory go as before");
    if (backend) return found(backend);
  }
  steps.push(
    side.table
      ? "the hash of the client's address and port decides; name them by --from ADDRESS:PORT"
      : "without a Maglev table the choice is random, and remembered for the flow",
  );
  return several(end, maps, side, found);
}

/** The row of this node's own node port when the frontend is at the address of another node. */
function nodePortRow(
  { pilus_ipcache, pilus_services }: BalancerMaps,
  { address, port, protocol }: TraceQuestion["frontend"],
  steps: string[],
): Service | undefined {
  const node = pilus_ipcache.get(address);
  if (!node || !(node.flags & IpcacheFlags.NODE) || node.identity === Identity.HOST) {
    return undefined;
  }
  const loopback = parseIp(isIpv4(address) ? "127.0.0.1" : "::1");
  const row = pilus_services.get({ address: loopback, port, protocol });
  if (!row || !(row.flags & ServiceFlags.NODE_PORT)) return undefined;
  steps.push("a node port of another node: chosen here, as at this node's own address");
  return row;
}

function clientText(client: Uint8Array, port: number | undefined): string {
  return port === undefined ? formatIp(client) : formatSocketAddress(formatIp(client), port);
}

function several(
  end: (verdict: ServiceTraceView["verdict"], backends: KernelBackendView[]) => ServiceTraceView,
  maps: BalancerMaps,
  side: ServiceSide,
  found: (backend: KernelBackendView) => ServiceTraceView,
): ServiceTraceView {
  const backends = backendsOf(maps, side);
  return backends.length === 1 ? found(backends[0]!) : end("one of several", backends);
}

/** The longest of the service's prefixes that has the client. */
function rangeOf(
  maps: BalancerMaps,
  service: number,
  client: Uint8Array<ArrayBuffer>,
): string | undefined {
  let best: { address: Uint8Array<ArrayBuffer>; prefixLength: number } | undefined;
  for (const key of maps.pilus_source_ranges.keys()) {
    const cidr = {
      address: key.address.slice(),
      prefixLength: key.prefixLength - SOURCE_RANGE_HEAD_BITS,
    };
    if (key.service !== service || !cidrContains(cidr, client)) continue;
    if (!best || cidr.prefixLength > best.prefixLength) best = cidr;
  }
  return best && formatCidr(best);
}

/** The key of pilus_affinity: an address, or a network namespace's cookie. */
function affinityClient(
  client: Uint8Array | undefined,
  cookie: bigint | undefined,
): Uint8Array | undefined {
  if (cookie === undefined) return client;
  const key = new Uint8Array(16);
  new DataView(key.buffer).setBigUint64(0, cookie, true);
  return key;
}

/** What is remembered of this very flow. A new connection keeps to it while new ones go there. */
function chosenBackend(
  maps: BalancerMaps,
  side: ServiceSide,
  { frontend, client, clientPort }: TraceQuestion,
  steps: string[],
): KernelBackendView | undefined {
  if (!client || clientPort === undefined) return undefined;
  const choice = maps.pilus_choices.get({
    client,
    frontend: frontend.address,
    clientPort,
    frontendPort: frontend.port,
    protocol: frontend.protocol,
  });
  if (!choice) return undefined;
  const text = formatSocketAddress(formatIp(choice.backend), choice.port);
  const backend = backendsOf(maps, side).find(({ address, port }) =>
    formatSocketAddress(address, port) === text
  );
  steps.push(
    `pilus_choices has this flow, at ${text}` +
      (backend ? ": it stays there" : ", which takes no new connections any more"),
  );
  return backend;
}

function keptBackend(
  maps: BalancerMaps,
  { id, affinityS }: { id: number; affinityS: number },
  side: ServiceSide,
  internal: boolean,
  client: Uint8Array | undefined,
  now: bigint,
  steps: string[],
): KernelBackendView | undefined {
  const kept = client && maps.pilus_affinity.get({ client, service: id });
  if (!kept) {
    steps.push("affinity: the client has no backend yet");
    return undefined;
  }
  const text = formatSocketAddress(formatIp(kept.backend), kept.port);
  const age = Number((now - kept.used) / SECOND_NS);
  if (age >= affinityS) {
    steps.push(`affinity: ${text} was ${age} s ago, and ${affinityS} s are kept`);
    return undefined;
  }
  const backend = backendsOf(maps, side).find(({ address, port }) =>
    formatSocketAddress(address, port) === text
  );
  steps.push(
    backend
      ? `affinity: the client keeps ${text}, last used ${age} s ago`
      : `affinity: ${text} takes no new connections ${
        internal ? "" : "of external clients "
      }any more`,
  );
  return backend;
}

function slotAt(
  maps: BalancerMaps,
  side: ServiceSide,
  { frontend, client, clientPort, maglevSize }: TraceQuestion,
  byAddress: boolean,
  steps: string[],
) {
  const hash = maglevHash({
    source: client!,
    destination: frontend.address,
    sourcePort: byAddress ? 0 : clientPort!,
    destinationPort: byAddress ? 0 : frontend.port,
    protocol: frontend.protocol,
  });
  const number = slotOf(hash, maglevSize);
  const slot = readSlot(readTable(maps, side.table, maglevSize)[number]!);
  const marks = [slot.young ? "young" : "", slot.ask ? "ask" : ""].filter(Boolean);
  steps.push(
    `Maglev table at row ${side.table}: hash 0x${hash.toString(16).padStart(8, "0")} is slot ` +
      `${number} of ${maglevSize}: now ${slot.now}, before ${slot.before}` +
      (marks.length > 0 ? ` (${marks.join(", ")})` : ""),
  );
  return slot;
}

/** What happens to the packets. */
function fate(
  maps: BalancerMaps,
  { address, port, flags }: KernelBackendView,
  serviceFlags: number,
  { client, frontend, internal, cookie }: TraceQuestion,
): string {
  const to = formatSocketAddress(address, port);
  if (cookie !== undefined) return `its socket speaks to ${to} itself; no packet is rewritten`;
  if (internal) return `the destination becomes ${to}; the client's address stays`;
  if (flags.includes("local")) {
    return `the destination becomes ${to}, which is on this node; the client's address stays`;
  }
  const tunnelled = flags.includes("tunnel");
  if (serviceFlags & ServiceFlags.DSR_IPIP && !tunnelled) {
    return `DSR: sent to ${address} in an IP tunnel as it is; the backend answers the client`;
  }
  if (serviceFlags & ServiceFlags.DSR_OPTION && !tunnelled) {
    const where = isIpv4(frontend.address) ? "an IP option" : "an extension header";
    return `DSR: the destination becomes ${to}, the service stands in ${where}; ` +
      "the backend answers the client";
  }
  const node = maps.pilus_node.get(0);
  const family = client && isIpv4(client) ? "ipv4" : "ipv6";
  const source = node &&
    (tunnelled ? node[family === "ipv4" ? "routerIpv4" : "routerIpv6"] : node[family]);
  return `SNAT: the destination becomes ${to}, the source ${
    source ? formatIp(source) : "this node"
  }` + (tunnelled ? ", through the tunnel" : "");
}

/**
 * What may be seen where, from the text of the policies and from addresses; knows nothing of the
 * programs. It is an upper bound: what it allows may be lost.
 */

import type { Frame, Packet } from "./frame.ts";

/** Where a marker was seen. */
export interface Sighting {
  /** A pod's name, `node-a`, `wire` … */
  place: string;
  /** Name of the device, or `stack`; of a node's side of a pod's, `pod:` and the pod. */
  device: string;
  outgoing: boolean;
  /** Source of the outermost IP header; undefined: there is none. */
  source?: string;
  protocol?: number;
}

/** Addresses as an oracle needs them. */
export interface Known {
  routing: "vxlan" | "native";
  /** Pods by address. */
  pods: ReadonlyMap<string, string>;
  /** Node of a pod. */
  nodeOf: ReadonlyMap<string, string>;
  /** Nodes by their addresses, those on the pods' side included. */
  nodes: ReadonlyMap<string, string>;
  /** Addresses of nodes that only their node knows of. */
  secondary: ReadonlySet<string>;
  /** Addresses of nodes, the router and hosts outside, which answer whoever asks. */
  answering: ReadonlySet<string>;
  /** Nodes by the MAC of their device. */
  nodeMacs: ReadonlyMap<string, string>;
  /** Of the router, which sends on what comes to it. */
  routerMac: string;
  /** `ADDRESS PROTOCOL PORT` of a service, and the pod and port behind it. */
  frontends: ReadonlyMap<string, { pod: string; port: number; external: boolean }>;
  /** Pods by the number of their identity. */
  identities: ReadonlyMap<number, string>;
}

const UDP = 17, TCP = 6, ICMPV6 = 58;
const TUNNEL_PORT = 8472;
/** Identities that are no pods' (Cilium's numbers). */
const WORLD = 2, REMOTE_NODE = 6;

/** Pods that no policy selects for ingress. */
const OPEN = new Set(["open", "openness"]);

const isOpenPort = (protocol: number, port: number) =>
  protocol === UDP && port === 7000 || protocol === TCP && port === 8080;

/** Who may reach the open ports of a pod. */
const PEERS: Record<string, string> = { near: "tied", far: "roamer", web: "world" };

/** Who may begin what with whom, apart from pods of {@linkcode OPEN}. `from` is a pod or "world". */
function mayReach(from: string, to: string, protocol: number, port: number): boolean {
  return PEERS[to] === from && isOpenPort(protocol, port);
}

function isDiscovery({ family, protocol, icmp }: Packet): boolean {
  return family === 6 && protocol === ICMPV6 && icmp !== undefined && icmp.type >= 133 &&
    icmp.type <= 137;
}

function isError({ family, icmp }: Packet): boolean {
  return icmp !== undefined &&
    (family === 4 ? [3, 11, 12].includes(icmp.type) : icmp.type >= 1 && icmp.type <= 4);
}

/** Whether a packet between hosts may have the address as its source (RFC 1122 3.2.1.3). */
function isHostAddress(text: string): boolean {
  if (text.includes(":")) return !/^(ff|fe[89ab])/.test(text) && !/^::(1|ffff:.*)?$/.test(text);
  return !/^(0|127|22[4-9]|23\d)\./.test(text) && text !== "255.255.255.255";
}

/** Judges sightings. {@linkcode Oracle.note} has to see the frames in the order of sending. */
export class Oracle {
  readonly #known: Known;
  /** First fragments that may come to a pod, by their datagram. */
  readonly #datagrams = new Map<string, Set<string>>();

  constructor(known: Known) {
    this.#known = known;
  }

  /** Remembers what later fragments belong to. */
  note(frame: Frame): void {
    for (let p = frame.packet; p; p = p.inner?.packet) {
      if (!p.fragment || p.fragment.later) continue;
      const key = datagramOf(p);
      let receivers = this.#datagrams.get(key);
      for (const pod of this.receivers(frame)) {
        if (!receivers) this.#datagrams.set(key, receivers = new Set());
        receivers.add(pod);
      }
    }
  }

  /** Pods to which the frame may come. */
  receivers(frame: Frame): Set<string> {
    return frame.sender < 3 ? this.#ofPod(frame) : this.#ofOutsider(frame);
  }

  /** Whether the frame may be seen there. */
  allows(frame: Frame, sighting: Sighting): boolean {
    const receivers = this.receivers(frame);
    const pod = sighting.device.startsWith("pod:") ? sighting.device.slice(4) : sighting.place;
    if (this.#known.nodeOf.has(pod)) {
      return receivers.has(pod) ||
        frame.sender >= 3 &&
          (OPEN.has(pod)
            ? this.#isAnswer(receivers, sighting)
            : this.#isReport(frame, pod, sighting));
    }
    return frame.sender < 3
      ? this.#onWayOfPod(receivers, sighting)
      : this.#inStack(frame, receivers, sighting);
  }

  /** What a node, the router or a pod that received the frame says, to whatever source it had. */
  #isAnswer(receivers: Set<string>, { source }: Sighting): boolean {
    if (source === undefined) return false;
    return this.#known.answering.has(source) || source.startsWith("fe80:") ||
      receivers.has(this.#known.pods.get(source) ?? "");
  }

  /**
   * A host outside or the router says that it did not take the frame, if only as an ICMP error. Nodes
   * say so to services: they route, and they answer for clients whose address they have replaced.
   */
  #isReport({ packet }: Frame, pod: string, { source }: Sighting): boolean {
    const { nodes, pods, answering } = this.#known;
    if (!packet || source === undefined || !answering.has(source)) return false;
    if (nodes.has(source) && pods.has(packet.source)) return false;
    const report = { ...packet, source, destination: packet.source };
    return this.#judgeError(report, packet, "world").includes(pod);
  }

  #ofPod({ sender, tags, packet }: Frame): Set<string> {
    const to = ["", "near", "far"][sender]!, name = ["silent", "tied", "roamer"][sender]!;
    const none = new Set<string>();
    if (!to || tags.length || !packet || this.#known.pods.get(packet.source) !== name) return none;
    const pod = this.#known.pods.get(packet.destination);
    if (isError(packet)) {
      const quote = packet.icmp?.quote;
      const fits = quote?.ports && quote.source === packet.destination &&
        quote.destination === packet.source && (pod
          ? pod === to && isOpenPort(quote.protocol, quote.ports[0])
          : this.#known.frontends.get(`${quote.source} ${quote.protocol} ${quote.ports[0]}`)
            ?.pod === to);
      return fits ? new Set([to]) : none;
    }
    if (packet.fragment?.later) return this.#datagrams.get(datagramOf(packet)) ?? none;
    const { protocol, ports } = packet;
    if (!ports) return none;
    const end = pod ? { pod, port: ports[1] } : this.#behind(packet);
    return end && mayReach(name, end.pod, protocol, end.port) ? new Set([end.pod]) : none;
  }

  #behind({ destination, protocol, ports }: Packet) {
    return ports && this.#known.frontends.get(`${destination} ${protocol} ${ports[1]}`);
  }

  /** The tunnel and the wire between nodes carry what goes to another node; a router hears its link. */
  #onWayOfPod(
    receivers: Set<string>,
    { place, device, source, protocol }: Sighting,
  ): boolean {
    const { nodeOf, nodes } = this.#known;
    const between = [...receivers].some((pod) => nodeOf.get(pod) !== "node-a");
    if (device !== "stack") return between && device !== "lo" && place !== "outside";
    // frames of the tunnel are for nodes
    return between && protocol === UDP && nodes.has(source ?? "");
  }

  #ofOutsider(frame: Frame): Set<string> {
    const { packet, tags, destinationMac, sourceMac, sender } = frame;
    const none = new Set<string>();
    if (!packet || tags.some((tag) => tag !== 0)) return none;
    // a frame for another host's MAC is nobody's; the router's frames go where its routes say
    const at = this.#known.nodeMacs.get(destinationMac);
    const group = parseInt(destinationMac.slice(0, 2), 16) & 1;
    if (sender === 3 && !at && !group && destinationMac !== this.#known.routerMac) return none;
    const from = this.#known.nodeMacs.get(sourceMac);
    const believed = this.#believedTunnel(frame);
    return new Set([
      ...believed ? this.#judge(believed.packet, believed.from) : [],
      ...this.#judge(packet, this.#claimed(packet.source, sender === 3 ? from : undefined)),
    ]);
  }

  /** Who a packet on the wire is from: a pod (only from its node's MAC, without a tunnel), "world" … */
  #claimed(source: string, from: string | undefined): string | undefined {
    const { pods, nodes, secondary, routing, nodeOf } = this.#known;
    const pod = pods.get(source);
    if (pod) return routing === "native" && from && nodeOf.get(pod) === from ? pod : undefined;
    if (!isHostAddress(source)) return undefined;
    // an unused address of a pod CIDR gives no more rights than any other
    if (!nodes.has(source) || secondary.has(source)) return "world";
    return routing === "native" || from === nodes.get(source) ? "node" : undefined;
  }

  /** Who has a node's address on the wire speaks for that node: its pods, itself and the world. */
  #believedTunnel({ packet }: Frame): { packet: Packet; from: string } | undefined {
    const { nodes, nodeOf, pods, identities, routing } = this.#known;
    if (routing !== "vxlan" || !packet?.inner?.packet || packet.inner.kind !== "vxlan") {
      return undefined;
    }
    if (packet.ports?.[1] !== TUNNEL_PORT || packet.inner.tagged) return undefined;
    const node = nodes.get(packet.source), end = nodes.get(packet.destination);
    if (!node || !end || node === end) return undefined;
    const inner = packet.inner.packet, { vni = 0 } = packet.inner;
    const pod = pods.get(inner.source);
    const said = identities.get(vni);
    const from = pod || isOfNode(inner.source, node)
      ? (pod ? nodeOf.get(pod) === node : true) &&
        (said ?? ([8, 10].includes(vni) ? "pod" : undefined))
      : undefined;
    if (from) return { packet: inner, from };
    if (pod) return undefined;
    const innerNode = nodes.get(inner.source);
    if (innerNode) {
      if (innerNode !== node) return undefined;
      const name = vni === REMOTE_NODE ? "node" : vni === WORLD ? "world" : said;
      return name ? { packet: inner, from: name } : undefined;
    }
    return vni === WORLD ? { packet: inner, from: "world" } : undefined;
  }

  #judge(packet: Packet, from: string | undefined): string[] {
    if (from === undefined || isDiscovery(packet)) return [];
    if (packet.fragment?.later) {
      const pod = this.#known.pods.get(packet.destination);
      const begun = [...this.#datagrams.get(datagramOf(packet)) ?? []];
      return pod && OPEN.has(pod) ? [pod, ...begun] : begun;
    }
    const pod = this.#known.pods.get(packet.destination);
    const service = pod ? undefined : this.#behind(packet);
    const end = pod
      ? { pod, port: packet.ports?.[1] ?? -1 }
      : service?.external
      ? service
      : undefined;
    if (isError(packet) && packet.icmp?.quote) {
      return this.#judgeError(packet, packet.icmp.quote, from);
    }
    if (!end) return [];
    if (OPEN.has(end.pod)) return [end.pod];
    // whose source a node has replaced is known as a node or as the world
    return mayReach(from === "node" ? "world" : from, end.pod, packet.protocol, end.port)
      ? [end.pod]
      : [];
  }

  /** An error about what a pod sent may come from the one it was sent to, or a router between. */
  #judgeError(packet: Packet, { source, destination, protocol, ports }: Packet, from: string) {
    const { pods, nodeOf, routing, answering } = this.#known;
    const pod = pods.get(packet.destination);
    if (pod && OPEN.has(pod)) return [pod];
    if (!ports || source !== packet.destination) return [];
    const answers = this.#server(source, protocol, ports[0]);
    const peer = pods.get(destination);
    if (!peer && (answers === "web" || !pod && answering.has(source))) return ["web"];
    const asked = this.#server(destination, protocol, ports[1]);
    const [client, server] = answers ? [peer, answers] : [pod, asked];
    if (!client || !server || PEERS[server] !== client) return [];
    const to = answers ? server : client, other = answers ? client : server;
    if (from === other && packet.source === destination) return [to];
    // routers see what goes between nodes, and not into the tunnel
    const between = nodeOf.get(client) !== nodeOf.get(server);
    return between && (from === "node" || from === "world" && routing === "native") ? [to] : [];
  }

  /** The pod that answers at the address and port, for those who may reach it. */
  #server(ip: string, protocol: number, port: number): string | undefined {
    const pod = this.#known.pods.get(ip);
    if (pod) return isOpenPort(protocol, port) ? pod : undefined;
    return this.#known.frontends.get(`${ip} ${protocol} ${port}`)?.pod;
  }

  /** Nodes are open to the network, for what is addressed to them and what answers. */
  #inStack(frame: Frame, receivers: Set<string>, sighting: Sighting): boolean {
    const { place, device, source, protocol } = sighting;
    // nobody sends from the node's own address; else it is open to the network
    const { nodes } = this.#known;
    if (nodes.get(frame.packet?.source ?? "") === place && nodes.get(source ?? "") === place) {
      return false;
    }
    if (device === "lo") return true;
    if (device !== "stack") return true;
    if (source === frame.packet?.source && frame.packet !== undefined) {
      if (protocol === frame.packet.protocol || frame.packet.headers.includes(protocol ?? -1)) {
        return true;
      }
    }
    if (frame.packet?.source.startsWith("fe80:")) return true;
    const believed = this.#believedTunnel(frame);
    return believed?.packet.source === source || this.#isAnswer(receivers, sighting);
  }
}

/** Whether the node's pods have addresses of the prefix that the address lies in. */
function isOfNode(text: string, node: string): boolean {
  const number = node === "node-a" ? 1 : 2;
  return text.startsWith(`10.60.${number}.`) || text.startsWith(`fd60:${number}::`);
}

function datagramOf({ source, destination, protocol, fragment }: Packet): string {
  return `${source} ${destination} ${protocol} ${fragment?.id}`;
}

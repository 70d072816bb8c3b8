/** The devices of endpoints in the kernel, on both sides: made, looked at, repaired and deleted. */

import type { FileDescriptor } from "../../../datapath/bpf/ffi/libc.ts";
import { deleteLink, listLinks, setLink } from "../../../datapath/net/link.ts";
import { deleteIfThere, NetlinkSocket } from "../../../datapath/net/netlink.ts";
import {
  currentNamespace,
  inNamespace,
  namespaceId,
  openNamespace,
} from "../../../datapath/net/netns.ts";
import { type Endpoint, EndpointError, endpointKey, endpointName } from "../../api/endpoint.ts";
import { SLOT_OF_NODE, slotOf, SLOTS } from "../slot_target.ts";
import { DeviceDeletions } from "./device_deletions.ts";
import type { EndpointDatapath } from "./endpoint_request.ts";
import {
  addRouterAddresses,
  configureHost,
  configurePod,
  HOST_IFNAME,
  hostProblems,
  makePair,
  type NodePlumbing,
  podProblems,
  repairHost,
  requireKnown,
  restorePod,
} from "./plumbing.ts";
import { openPodNamespace } from "./pod_namespace.ts";

/** A pair is made anew this often when a live endpoint has its slot. */
const SLOT_ATTEMPTS = 16;

/** Options for {@linkcode EndpointDevices}. */
export interface EndpointDevicesOptions {
  node: NodePlumbing;
  /** The endpoints there are. */
  endpoints: () => readonly Endpoint[];
  /** Path of the node's network namespace. @default the one of the thread that makes the object */
  netns: string | undefined;
}

/** The devices of this node's endpoints. Methods throw KernelError unless they say otherwise. */
export class EndpointDevices implements Disposable {
  readonly #node: NodePlumbing;
  readonly #endpoints: () => readonly Endpoint[];
  readonly #netns: FileDescriptor;
  readonly #netnsId: string;
  readonly #host: NetlinkSocket;
  readonly #deletions: DeviceDeletions;
  /** Slots of pairs whose endpoints do not have them yet. */
  readonly #reserved = new Set<number>();

  constructor({ node, endpoints, netns }: EndpointDevicesOptions) {
    this.#node = node;
    this.#endpoints = endpoints;
    this.#netns = netns === undefined ? currentNamespace() : openNamespace(netns);
    this.#netnsId = namespaceId(netns ?? "/proc/thread-self/ns/net");
    this.#host = NetlinkSocket.open({ netns: this.#netns.fd });
    this.#deletions = new DeviceDeletions(this.#netns.fd);
  }

  /** Gives the node's lo the router addresses, unless there are pods that nothing is known of: throws Error. */
  takeOver(known: readonly Endpoint[], datapath: EndpointDatapath): void {
    requireKnown(this.#host, known, datapath);
    addRouterAddresses(this.#host, this.#node.router);
  }

  /**
   * Opens the pod's namespace for the endpoint of that key. Throws EndpointError when it is the node's or
   * has another endpoint: programs know a pod by its one interface.
   */
  openNamespace(path: string, key: string): { netns: FileDescriptor; cookie: number } {
    const opened = openPodNamespace(path, this.#netnsId);
    const other = this.#endpoints().find((one) =>
      one.netnsCookie === opened.cookie && endpointKey(one) !== key
    );
    if (!other) return opened;
    opened.netns[Symbol.dispose]();
    throw new EndpointError(
      "invalid",
      `Network namespace ${path} has ${other.ifname} of ${endpointName(other)} from pilus already`,
      { hint: "a pod has one interface of pilus; take another plugin for further ones" },
    );
  }

  /**
   * Makes the endpoint's pair, down on the node's side, up and configured in the pod. Returns the
   * ifindex; its slot is reserved until `settle`. Throws EndpointError when no slot is free.
   */
  make(netns: FileDescriptor, endpoint: Endpoint): number {
    const hostIfindex = this.#makePair(netns, endpoint);
    this.#reserved.add(slotOf(hostIfindex));
    return hostIfindex;
  }

  #makePair(netns: FileDescriptor, endpoint: Endpoint): number {
    const taken = new Set(this.#endpoints().map(({ hostIfindex }) => slotOf(hostIfindex)));
    taken.add(SLOT_OF_NODE);
    for (let attempt = 0; attempt < SLOT_ATTEMPTS; attempt++) {
      const { ifindex } = makePair(this.#host, netns, endpoint);
      const slot = slotOf(ifindex);
      if (!taken.has(slot) && !this.#reserved.has(slot)) return ifindex;
    }
    throw new EndpointError(
      "internal",
      `Cannot find a free slot for ${endpoint.hostIfname}: live endpoints have the last ` +
        `${SLOT_ATTEMPTS} device numbers modulo ${SLOTS}`,
      { hint: "try again" },
    );
  }

  /** The endpoint has its slot, or will never have it. */
  settle(hostIfindex: number): void {
    this.#reserved.delete(slotOf(hostIfindex));
  }

  /** Configures the pod's end. */
  configurePod(netns: FileDescriptor, endpoint: Endpoint): void {
    configurePod(netns, endpoint, this.#node);
  }

  /** Configures the node's end: from then on packets pass. */
  configureHost(endpoint: Endpoint): void {
    configureHost(this.#host, (work) => inNamespace(this.#netns.fd, work), endpoint, this.#node);
  }

  /** Sets the node's end down when it is the endpoint's. */
  shut(endpoint: Endpoint): void {
    if (this.problem(endpoint)) return;
    deleteIfThere(() => setLink(this.#host, endpoint.hostIfindex, { up: false }));
  }

  /** Deletes the link of this name if there is one. */
  delete(name: string): Promise<boolean> {
    return this.#deletions.delete(name);
  }

  /** Deletes the pods' links that belong to no endpoint. Returns their names. */
  deleteStrays(): string[] {
    const ours = new Set(this.#endpoints().map(({ hostIfname }) => hostIfname));
    const strays = listLinks(this.#host).filter(({ kind, name }) =>
      kind === "veth" && HOST_IFNAME.test(name) && !ours.has(name)
    );
    for (const { ifindex } of strays) deleteLink(this.#host, ifindex);
    return strays.map(({ name }) => name);
  }

  /** What is wrong with the node's end; undefined when it is the one that was made. */
  problem(endpoint: Endpoint): string | undefined {
    return hostProblems(this.#host, [endpoint]).get(endpoint);
  }

  /** Those of the endpoints whose node's end is not the one that was made. */
  lost(endpoints: readonly Endpoint[]): Endpoint[] {
    return [...hostProblems(this.#host, endpoints).keys()];
  }

  /** Everything that is wrong with the endpoint's devices. */
  problems(endpoint: Endpoint): string[] {
    const host = this.problem(endpoint);
    if (host) return [host];
    try {
      using netns = openNamespace(endpoint.netns);
      return podProblems(netns, endpoint, this.#node);
    } catch (error) {
      return [`namespace ${endpoint.netns} cannot be used: ${(error as Error).message}`];
    }
  }

  /** Adds the node's routes and neighbours that are missing. Returns how many. */
  repair(endpoints: readonly Endpoint[]): number {
    const lost = new Set(this.lost(endpoints));
    return repairHost(this.#host, endpoints.filter((one) => !lost.has(one)), this.#node);
  }

  /** Gives the pod back what it lost when its end was down. Returns how many things. */
  restorePod(endpoint: Endpoint): number {
    using netns = openNamespace(endpoint.netns);
    return restorePod(netns, endpoint, this.#node);
  }

  [Symbol.dispose](): void {
    this.#host[Symbol.dispose]();
    this.#deletions[Symbol.dispose]();
    this.#netns[Symbol.dispose]();
  }
}

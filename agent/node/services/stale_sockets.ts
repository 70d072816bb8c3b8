/**
 * Sockets of backends that are gone for good. A socket that was translated is connected to the pod
 * itself, so when the pod is gone it gets no answer: it is destroyed, and its program may go on.
 */

import { destroySockets, type SocketPeer } from "../../../datapath/net/sock_diag.ts";
import { formatIp } from "../../../datapath/net/ip.ts";
import { openNamespace } from "../../../datapath/net/netns.ts";
import { type Backend, type BackendList, hasBackend, unpackBackends } from "./backend.ts";
import type { ReadonlyTable } from "../../core/table.ts";
import type { Timer } from "../../core/timer.ts";
import { TimeSlice } from "../../core/time_slice.ts";

/** Of a frontend what is needed here. */
interface Served {
  protocol: string;
  backends: BackendList;
}

/** Options for {@linkcode StaleSockets}. */
export interface StaleSocketsOptions {
  frontends: ReadonlyTable<Served>;
  /** Backends that sockets were translated to before the agent started. */
  before?: Iterable<SocketPeer>;
  /** Tables whose changes may mean that a pod is gone. */
  pods: readonly Pick<ReadonlyTable<unknown>, "watch">[];
  /** Whether some pod has the address. */
  lives: (ip: string) => boolean;
  /** Paths of the pods' network namespaces. */
  namespaces: () => readonly string[];
  onError: (error: unknown) => void;
  /** Called with backends that are gone, and how many of their sockets were destroyed. */
  onDestroyed?: (peers: readonly SocketPeer[], sockets: number) => void;
  /**
   * Milliseconds until sockets are looked for a second time: those that were translated while the
   * kernel still had the backend.
   *
   * @default {1500}
   */
  againMs?: number;
}

/** So many backends are looked for in the lists' texts; for more the lists are unpacked. */
const FEW = 16;

const PROTOCOLS: Record<string, number> = { TCP: 6, UDP: 17 };

/** Watches until it is disposed of. */
export class StaleSockets implements AsyncDisposable {
  readonly #options: StaleSocketsOptions;
  readonly #watches: Disposable[];
  /** In no service any more, while their pods are alive. */
  readonly #idle = new Map<string, SocketPeer>();
  readonly #timers = new Set<Timer>();
  #work: Promise<void> = Promise.resolve();

  constructor(options: StaleSocketsOptions) {
    this.#options = options;
    const { frontends, pods } = options;
    this.#addIdle([...options.before ?? []]);
    this.#watches = [
      frontends.watch((changes) => {
        const gone: SocketPeer[] = [];
        for (const change of changes) {
          if (change.kind !== "deleted" && this.#idle.size > 0) {
            for (const peer of peersOf(change.row)) this.#idle.delete(keyOf(peer));
          }
          if (change.kind === "added") continue;
          const kept = new Set(change.kind === "updated" ? peersOf(change.row).map(keyOf) : []);
          // whether another kind of server is alive is not known
          const pods = peersOf(change.previous, ({ pod }) => pod !== undefined);
          gone.push(...pods.filter((peer) => !kept.has(keyOf(peer))));
        }
        this.#addIdle(gone);
        this.#look();
      }),
      ...pods.map((table) => table.watch(() => this.#look())),
    ];
    this.#look();
  }

  /** Adds those of `peers` that no frontend has. */
  #addIdle(peers: readonly SocketPeer[]): void {
    const unused = new Map(peers.map((peer) => [keyOf(peer), peer]));
    const few = unused.size <= FEW;
    for (const frontend of this.#options.frontends.rows()) {
      if (unused.size === 0) return;
      const used = few
        ? [...unused.values()].filter((peer) => serves(frontend, peer))
        : peersOf(frontend);
      for (const peer of used) unused.delete(keyOf(peer));
    }
    for (const [key, peer] of unused) this.#idle.set(key, peer);
  }

  #look(): void {
    const gone: SocketPeer[] = [];
    for (const [key, peer] of this.#idle) {
      if (this.#options.lives(formatIp(peer.address))) continue;
      this.#idle.delete(key);
      gone.push(peer);
    }
    if (gone.length === 0) return;
    this.#enqueue(gone);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      // its address may be another pod's by now
      this.#enqueue(gone.filter(({ address }) => !this.#options.lives(formatIp(address))));
    }, this.#options.againMs ?? 1500);
    this.#timers.add(timer);
  }

  #enqueue(peers: readonly SocketPeer[]): void {
    if (peers.length === 0) return;
    this.#work = this.#work.then(() => this.#destroy(peers)).catch(this.#options.onError);
  }

  /** The node's own sockets, then those of each pod; other work gets its turn in between. */
  async #destroy(peers: readonly SocketPeer[]): Promise<void> {
    const slice = new TimeSlice();
    let sockets = destroySockets(peers);
    for (const path of this.#options.namespaces()) {
      if (slice.over) await slice.next();
      sockets += destroyIn(path, peers);
    }
    this.#options.onDestroyed?.(peers, sockets);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#work;
  }
}

function peersOf(
  { protocol: name, backends }: Served,
  which: (backend: Backend) => boolean = () => true,
): SocketPeer[] {
  const protocol = PROTOCOLS[name];
  if (protocol === undefined) return [];
  return unpackBackends(backends).filter(which).map(({ address, port }) => ({
    address,
    port,
    protocol,
  }));
}

function serves({ protocol, backends }: Served, peer: SocketPeer): boolean {
  return PROTOCOLS[protocol] === peer.protocol && hasBackend(backends, peer);
}

function keyOf({ address, port, protocol }: SocketPeer): string {
  return `${formatIp(address)}|${port}|${protocol}`;
}

function destroyIn(path: string, peers: readonly SocketPeer[]): number {
  let namespace;
  try {
    namespace = openNamespace(path);
  } catch {
    return 0; // the pod is on its way out, with its sockets
  }
  using netns = namespace;
  return destroySockets(peers, { netns: netns.fd });
}

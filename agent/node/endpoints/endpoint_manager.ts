/** Endpoints made, restored, checked and deleted: addresses, devices, programs and records together. */

import { checkIfname } from "../../../datapath/net/link.ts";
import { formatMac, randomMac } from "../../../datapath/net/mac.ts";
import { inNamespace, namespaceCookie, openNamespace } from "../../../datapath/net/netns.ts";
import { type Endpoint, EndpointError, endpointKey } from "../../api/endpoint.ts";
import { printable } from "../../core/printable.ts";
import { Table } from "../../core/table.ts";
import { Turns } from "../../core/turns.ts";
import { type AddressPair, AddressPool, type RangeUsage } from "../ipam/address_pool.ts";
import { EndpointCopies } from "./endpoint_copies.ts";
import { EndpointDevices } from "./endpoint_devices.ts";
import { EndpointRecords } from "./endpoint_records.ts";
import {
  asEndpointError,
  type EndpointDatapath,
  type EndpointManagerOptions,
  type EndpointRequest,
  type RestoreReport,
} from "./endpoint_request.ts";
import { EndpointStore } from "./endpoint_store.ts";
import { hostIfnameOf } from "./plumbing.ts";
import { namespaceProblem, sameNamespace } from "./pod_namespace.ts";

/** A table of endpoints by `containerId/ifname`. */
export function endpointTable(): Table<Endpoint> {
  return new Table<Endpoint>({ name: "endpoints", key: endpointKey });
}

/**
 * Owns the node's endpoints. `table` shows them; nothing else writes to it. Calls for one endpoint
 * are done one after the other.
 */
export class EndpointManager implements Disposable {
  /** The endpoints, by `containerId/ifname`. */
  readonly table: Table<Endpoint>;
  readonly #store: EndpointStore;
  readonly #pool: AddressPool;
  readonly #mtu: number;
  readonly #datapath: EndpointDatapath;
  readonly #awaitPod: EndpointManagerOptions["awaitPod"];
  readonly #records: EndpointRecords;
  readonly #devices: EndpointDevices;
  readonly #onError: (what: string, error: unknown) => void;
  readonly #turns = new Turns();

  constructor(options: EndpointManagerOptions) {
    const {
      database,
      runDirectory,
      podCidrs,
      clusterCidrs = [],
      mtu,
      clusterMtu = mtu,
      datapath,
      netns,
      onError = printError,
    } = options;
    this.#pool = new AddressPool(database, podCidrs);
    this.#store = new EndpointStore(database, new EndpointCopies(runDirectory));
    this.#onError = onError;
    this.#records = new EndpointRecords(this.#store, this.#pool, onError);
    this.table = options.table ?? endpointTable();
    // known before anything may take their rows for strays; restore() says how they are
    const known = this.#store.all();
    for (const stored of known) this.table.set({ ...stored, state: "creating" });
    this.#mtu = mtu;
    this.#datapath = datapath;
    this.#awaitPod = options.awaitPod;
    this.#devices = new EndpointDevices({
      node: { router: this.#pool.router, clusterCidrs, clusterMtu },
      endpoints: () => this.table.rows(),
      netns,
    });
    this.#devices.takeOver(known, datapath);
  }

  /** The addresses that pods have as gateway. */
  get router(): AddressPair {
    return this.#pool.router;
  }

  /** How full the node's pod CIDRs are. */
  usage(): RangeUsage[] {
    return this.#pool.usage();
  }

  /** The endpoint with that number. */
  byId(id: number): Endpoint | undefined {
    return this.table.rows().find((endpoint) => endpoint.id === id);
  }

  /**
   * Makes an endpoint, or gives the one that exists and is healthy. On failure nothing stays
   * behind. `signal`: goes on without the Pod. Throws EndpointError.
   */
  create(request: EndpointRequest, signal?: AbortSignal): Promise<Endpoint> {
    const key = endpointKey(request);
    return this.#turns.run(key, async () => {
      const existing = this.table.get(key);
      if (existing) {
        if (existing.state === "ready" && this.#isFor(existing, request)) return existing;
        await this.#remove(existing);
      }
      return await this.#make(request, signal);
    });
  }

  #isFor(endpoint: Endpoint, request: EndpointRequest): boolean {
    return sameNamespace(endpoint.netns, request.netns) &&
      this.#devices.problems(endpoint).length === 0;
  }

  async #make(request: EndpointRequest, signal: AbortSignal | undefined): Promise<Endpoint> {
    const { containerId, ifname, netns: path, namespace = "", pod = "" } = request;
    try {
      checkIfname(ifname);
    } catch (cause) {
      throw new EndpointError("invalid", (cause as Error).message, { cause });
    }
    const key = endpointKey(request);
    const { netns: opened, cookie } = this.#devices.openNamespace(path, key);
    using netns = opened;
    await using rollback = new AsyncDisposableStack();
    const undo = (step: () => unknown) => rollback.defer(attempted(step));
    try {
      this.#records.keep(key);
      undo(() => this.#pool.release(key));
      const addresses = this.#pool.allocate(key);
      await this.#awaitPod?.(request, signal);
      let endpoint: Endpoint = {
        id: this.#store.nextId(),
        containerId,
        ifname,
        netns: path,
        netnsCookie: cookie,
        namespace,
        pod,
        hostIfname: hostIfnameOf(key),
        hostIfindex: 0,
        hostMac: formatMac(randomMac()),
        podMac: formatMac(randomMac()),
        ...addresses,
        mtu: this.#mtu,
        createdAt: new Date().toISOString(),
        state: "creating",
      };
      undo(() => this.#devices.delete(endpoint.hostIfname));
      endpoint = { ...endpoint, hostIfindex: this.#devices.make(netns, endpoint) };
      undo(() => this.#devices.settle(endpoint.hostIfindex));
      this.#devices.configurePod(netns, endpoint);
      undo(() => this.#store.remove(key));
      this.#store.save({ ...endpoint, state: "ready" });
      undo(() => this.#datapath.detach(endpoint));
      undo(() => void this.table.delete(key)); // undone first: rows go with it
      this.table.set(endpoint);
      await this.#datapath.attach(endpoint);
      // Last: the pod reaches nothing before its programs are there.
      this.#devices.configureHost(endpoint);
      endpoint = { ...endpoint, state: "ready" };
      this.table.set(endpoint);
      this.#devices.settle(endpoint.hostIfindex);
      rollback.move(); // it stands
      return endpoint;
    } catch (error) {
      throw asEndpointError(error, `Cannot make endpoint ${key}`);
    }
  }

  /** Deletes an endpoint and whatever is left of it. Returns whether there was one. */
  delete(containerId: string, ifname: string): Promise<boolean> {
    const key = endpointKey({ containerId, ifname });
    return this.#turns.run(key, async () => {
      const endpoint = this.table.get(key);
      if (endpoint) {
        await this.#remove(endpoint);
        return true;
      }
      await this.#devices.delete(hostIfnameOf(key));
      return this.#records.forget(key);
    });
  }

  /**
   * All steps are tried. A failure is thrown at the end, and the row stays for another try, unless
   * `force` says to forget the endpoint all the same.
   */
  async #remove(endpoint: Endpoint, { force = false } = {}): Promise<void> {
    const key = endpointKey(endpoint);
    const failures: unknown[] = [];
    this.table.delete(key);
    try {
      // nothing comes from it any more when its programs go
      this.#devices.shut(endpoint);
    } catch (error) {
      failures.push(error);
    }
    try {
      await this.#datapath.detach(endpoint);
    } catch (error) {
      failures.push(error);
    }
    try {
      if (!this.#devices.problem(endpoint)) await this.#devices.delete(endpoint.hostIfname);
    } catch (error) {
      failures.push(error);
    }
    if (failures.length > 0 && !force) {
      this.table.set(endpoint);
      throw asEndpointError(failures[0], `Cannot delete endpoint ${key}`);
    }
    this.#records.forget(key);
  }

  /** Throws EndpointError unless the endpoint exists and is as it was made. */
  check(containerId: string, ifname: string): Endpoint {
    const key = endpointKey({ containerId, ifname });
    const endpoint = this.table.get(key);
    if (!endpoint) throw new EndpointError("not-found", `There is no endpoint ${key}`);
    const problems = this.#devices.problems(endpoint);
    if (endpoint.state !== "ready") {
      problems.unshift(
        `state is ${endpoint.state}${endpoint.reason ? `: ${endpoint.reason}` : ""}`,
      );
    }
    if (problems.length > 0) {
      throw new EndpointError("unhealthy", `Endpoint ${key} is unhealthy: ${problems.join("; ")}`, {
        hint: "delete the pod's sandbox and let the runtime make it anew",
      });
    }
    return endpoint;
  }

  /** Deletes every endpoint that is not among `valid`. Goes on after a failure and throws it at the end. */
  async gc(
    valid: readonly Pick<Endpoint, "containerId" | "ifname">[],
  ): Promise<{ deleted: string[] }> {
    const keep = new Set(valid.map(endpointKey));
    const deleted: string[] = [];
    const failures: unknown[] = [];
    const stale = this.table.rows().filter((endpoint) => !keep.has(endpointKey(endpoint)));
    // together: their devices go in one call
    await Promise.all(stale.map(async (endpoint) => {
      try {
        await this.delete(endpoint.containerId, endpoint.ifname);
        deleted.push(endpointKey(endpoint));
      } catch (error) {
        failures.push(error);
      }
    }));
    if (failures.length > 0) {
      throw new EndpointError(
        "internal",
        `Cannot delete ${failures.length} stale endpoints: ${(failures[0] as Error).message}`,
        { cause: failures[0] },
      );
    }
    return { deleted };
  }

  /**
   * Takes over the endpoints of the agent that ran before: those whose namespace is gone are deleted,
   * the others are attached again without touching their traffic. A device that was deleted meanwhile
   * is made anew.
   */
  async restore(): Promise<RestoreReport> {
    const report: RestoreReport = { restored: [], dropped: [], removedLinks: [] };
    const live: Endpoint[] = [];
    for (const endpoint of this.#store.all()) {
      const reason = namespaceProblem(endpoint.netns);
      if (reason) {
        report.dropped.push({ endpoint, reason });
        continue;
      }
      this.#records.reserve(endpointKey(endpoint), [endpoint.ipv4, endpoint.ipv6]);
      live.push(endpoint);
    }
    await Promise.all(
      report.dropped.map(({ endpoint }) => this.#remove(endpoint, { force: true })),
    );
    // together: what is derived from endpoints is derived once
    report.restored = await Promise.all(live.map((endpoint) => {
      const reason = this.#devices.problem(endpoint);
      return reason ? this.#revive(endpoint, reason) : this.#reattach(endpoint);
    }));
    for (const owner of this.#pool.owners()) {
      if (!this.table.has(owner)) this.#records.forget(owner);
    }
    report.removedLinks = this.#devices.deleteStrays();
    this.repair();
    return report;
  }

  /** An endpoint that stays without its device is tried again with each healing. */
  async #revive(endpoint: Endpoint, reason: string): Promise<Endpoint> {
    const key = endpointKey(endpoint);
    this.table.set({ ...endpoint, state: "failed", reason });
    await this.rebuild(key).catch((error) => this.#onError(`endpoint ${key}`, error));
    return this.table.get(key)!;
  }

  async #reattach(stored: Endpoint): Promise<Endpoint> {
    const { reason: _, ...before } = stored;
    using netns = openNamespace(before.netns);
    const rest = { ...before, netnsCookie: Number(inNamespace(netns.fd, namespaceCookie)) };
    let endpoint: Endpoint = { ...rest, state: "creating" };
    this.table.set(endpoint);
    try {
      await this.#datapath.attach(endpoint);
      endpoint = { ...rest, state: "ready" };
    } catch (error) {
      endpoint = { ...rest, state: "failed", reason: (error as Error).message };
    }
    this.table.set(endpoint);
    return endpoint;
  }

  /**
   * Makes the device of an endpoint anew when it has gone and the pod lives: with its addresses, MACs
   * and programs. Returns whether it did. Throws EndpointError; the endpoint then is `failed`.
   */
  rebuild(key: string): Promise<boolean> {
    return this.#turns.run(key, async () => {
      const before = this.table.get(key);
      if (!before || before.state === "creating" || !this.#devices.problem(before)) return false;
      const { reason: _, ...rest } = before;
      let endpoint: Endpoint = { ...rest, state: "creating" };
      try {
        const { netns: opened } = this.#devices.openNamespace(before.netns, key);
        using netns = opened;
        await this.#datapath.detach(before);
        endpoint = { ...endpoint, hostIfindex: this.#devices.make(netns, endpoint) };
        this.#devices.configurePod(netns, endpoint);
        this.#store.save({ ...endpoint, state: "ready" });
        this.table.set(endpoint);
        await this.#datapath.attach(endpoint);
        this.#devices.configureHost(endpoint);
        this.table.set({ ...endpoint, state: "ready" });
        return true;
      } catch (error) {
        const failure = asEndpointError(error, `Cannot make the device of endpoint ${key} anew`);
        this.table.set({ ...endpoint, state: "failed", reason: failure.message });
        throw failure;
      } finally {
        this.#devices.settle(endpoint.hostIfindex);
      }
    });
  }

  /** The endpoints whose device is not there or another one. */
  lost(): string[] {
    const made = this.table.rows().filter(({ state }) => state !== "creating");
    return this.#devices.lost(made).map(endpointKey);
  }

  /**
   * Adds the host's routes and neighbours that are missing, of some endpoints or of all. Returns how
   * many. Endpoints that are just being made or deleted are left alone.
   */
  repair(keys: Iterable<string> = this.table.keys()): number {
    this.#records.retry((key) => this.#turns.isBusy(key));
    const endpoints = [...keys].flatMap((key) =>
      this.#turns.isBusy(key) ? [] : this.table.get(key) ?? []
    );
    return this.#devices.repair(endpoints.filter(({ state }) => state !== "creating"));
  }

  /** Gives pods back what they lost when their end was down. Returns those that had lost something. */
  restorePods(keys: Iterable<string>): string[] {
    return [...keys].filter((key) => {
      const endpoint = this.table.get(key);
      if (endpoint?.state !== "ready" || this.#turns.isBusy(key)) return false;
      try {
        return this.#devices.restorePod(endpoint) > 0;
      } catch (error) {
        this.#onError(`endpoint ${key}: what its pod has lost`, error);
        return false;
      }
    });
  }

  [Symbol.dispose](): void {
    this.#devices[Symbol.dispose]();
  }
}

function printError(what: string, error: unknown): void {
  console.error(printable(`${what}: ${(error as Error).message}`));
}

/** The step as one that never fails, so that the other steps are undone whatever comes of it. */
function attempted(step: () => unknown): () => Promise<void> {
  return async () => {
    try {
      await step();
    } catch (error) {
      printError("Cannot undo a step", error);
    }
  };
}

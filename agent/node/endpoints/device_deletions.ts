/** Deletion of pods' devices, many at once. */

import {
  deleteLinkElsewhere,
  deleteLinkGroupElsewhere,
  setLink,
} from "../../../datapath/net/link.ts";
import { deleteIfThere, NetlinkSocket } from "../../../datapath/net/netlink.ts";

/**
 * Deletes devices on another thread: the kernel waits for all CPUs to let go of a device, tens of
 * milliseconds a call. What is asked for meanwhile goes with the next call, together.
 */
export class DeviceDeletions implements Disposable {
  readonly #netlink: NetlinkSocket;
  #waiting = new Map<string, PromiseWithResolvers<boolean>>();
  #running = false;

  /** `netns`: descriptor of the devices' namespace. */
  constructor(netns: number) {
    this.#netlink = NetlinkSocket.open({ netns });
  }

  /** Deletes the link of this name; resolves to whether there was one. Throws KernelError. */
  delete(name: string): Promise<boolean> {
    const waiting = this.#waiting.get(name) ?? Promise.withResolvers<boolean>();
    this.#waiting.set(name, waiting);
    if (!this.#running) void this.#run();
    return waiting.promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const batch = this.#waiting;
      this.#waiting = new Map();
      await (batch.size === 1 ? this.#deleteEach(batch) : this.#deleteTogether(batch));
    }
    this.#running = false;
  }

  /** A group of devices is deleted by one call. Its number is a random one, which nobody else has. */
  async #deleteTogether(batch: ReadonlyMap<string, PromiseWithResolvers<boolean>>): Promise<void> {
    const group = 1 + Math.floor(Math.random() * (2 ** 31 - 1));
    try {
      const there = [...batch.keys()].filter((name) =>
        deleteIfThere(() => setLink(this.#netlink, name, { group }))
      );
      if (there.length > 0) await deleteLinkGroupElsewhere(this.#netlink, group);
      for (const [name, { resolve }] of batch) resolve(there.includes(name));
    } catch {
      // one of them is in the way: each by itself, so that the others go
      await this.#deleteEach(batch);
    }
  }

  async #deleteEach(batch: ReadonlyMap<string, PromiseWithResolvers<boolean>>): Promise<void> {
    for (const [name, { resolve, reject }] of batch) {
      await deleteLinkElsewhere(this.#netlink, name).then(resolve, reject);
    }
  }

  [Symbol.dispose](): void {
    this.#netlink[Symbol.dispose]();
  }
}

/** Numbers of service ports, by which the kernel's maps name them. */

import type { Service, ServiceKey } from "../../../../datapath/maps/generated.ts";
import { type Frontend, frontendKey } from "../frontend.ts";
import { serviceKey, serviceKeyText } from "./service_row.ts";

/** Of the kernel's 32 bits so many are used, as Cilium's users know them. */
const NUMBER_MAX = 65_535;

/**
 * Gives service ports their numbers, which stay while the port has a frontend. Frontends with
 * different backends have different numbers: cluster addresses, external ones, host ports.
 */
export class ServiceNumbers {
  readonly #numbers = new Map<string, number>();
  readonly #adopted = new Map<string, number>();
  readonly #used = new Set<number>();
  readonly #live: () => Iterable<Frontend>;
  #next = 1;

  /** @param live the frontends that there are, read when numbers run out */
  constructor(live: () => Iterable<Frontend>) {
    this.#live = live;
  }

  /** Numbers that an earlier agent has given, by row of the kernel. Call it before the first `of`. */
  adopt(rows: Iterable<[ServiceKey, Service]>): void {
    for (const [key, { id }] of rows) this.#adopted.set(serviceKeyText(key), id);
  }

  /** The number of the frontend's port. Throws RangeError when there is none left. */
  of(frontend: Frontend): number {
    const name = portOf(frontend);
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const before = this.#adopted.get(serviceKeyText(serviceKey(frontend)));
    const number = before !== undefined && !this.#used.has(before) ? before : this.#free();
    this.#used.add(number);
    this.#numbers.set(name, number);
    return number;
  }

  #free(): number {
    const taken = new Set(this.#adopted.values());
    for (let turn = 0; turn < 2; turn++) {
      for (; this.#next <= NUMBER_MAX; this.#next++) {
        if (!this.#used.has(this.#next) && !taken.has(this.#next)) return this.#next++;
      }
      this.#next = 1;
      this.#reclaim();
      taken.clear();
    }
    throw new RangeError(`There are more than ${NUMBER_MAX} service ports`);
  }

  #reclaim(): void {
    const names = new Set<string>();
    for (const frontend of this.#live()) names.add(portOf(frontend));
    for (const [name, number] of this.#numbers) {
      if (names.has(name)) continue;
      this.#numbers.delete(name);
      this.#used.delete(number);
    }
  }
}

function portOf(frontend: Frontend): string {
  const { namespace, name, portName, protocol, kind, port } = frontend;
  const scope = kind === "ClusterIP"
    ? "cluster"
    : kind === "HostPort"
    ? `host ${port}`
    : "external";
  if (kind === "Reserved") return `reserved ${frontendKey(frontend)}`;
  return [namespace, name, portName, protocol, scope].join("/");
}

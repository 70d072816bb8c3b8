/** The node's links, addresses and default routes as tables, kept by the kernel's own notices. */

import { type LinkAddress, listAddresses } from "../../../datapath/net/address.ts";
import { formatCidr, isIpv4 } from "../../../datapath/net/ip.ts";
import { type Link, listLinks } from "../../../datapath/net/link.ts";
import { NetlinkSocket } from "../../../datapath/net/netlink.ts";
import { type Notice, Notices } from "../../../datapath/net/notices.ts";
import { listRoutes, nextHopsOf, type Route, TABLE_MAIN } from "../../../datapath/net/route.ts";
import { Table } from "../../core/table.ts";

/** A device that leads to everywhere. */
export interface DefaultRoute {
  family: 4 | 6;
  ifindex: number;
}

/** Called after the tables have taken the notices over. */
export type NoticeListener = (notices: readonly Notice[]) => void;

const linkKey = (ifindex: number) => String(ifindex);
const addressKey = ({ ifindex, cidr }: LinkAddress) => `${ifindex} ${formatCidr(cidr)}`;

/** The tables hold what a dump says at the start and after lost notices, and what notices say since. */
export class KernelFacts implements AsyncDisposable {
  /** By ifindex. */
  readonly links: Table<Link> = new Table({
    name: "links",
    key: ({ ifindex }) => linkKey(ifindex),
  });
  readonly addresses: Table<LinkAddress> = new Table({ name: "addresses", key: addressKey });
  /** Of the main table, in the kernel's order. */
  readonly defaultRoutes: Table<DefaultRoute> = new Table({
    name: "default-routes",
    key: ({ family, ifindex }) => `${family} ${ifindex}`,
  });
  readonly #netlink: NetlinkSocket;
  readonly #notices: Notices;
  readonly #listeners = new Set<NoticeListener>();

  private constructor(netns: number | undefined) {
    const where = netns === undefined ? {} : { netns };
    this.#netlink = NetlinkSocket.open(where);
    try {
      this.#notices = Notices.open({
        kinds: ["link", "address", "route", "netconf"],
        listener: (notices) => this.#take(notices),
        ...where,
      });
      // after the subscription: what changes meanwhile comes as a notice
      this.#dump();
    } catch (error) {
      this.#netlink[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Reads everything once and keeps it up to date.
   *
   * @param netns file descriptor of the namespace; by default it is the calling thread's
   */
  static open(netns?: number): KernelFacts {
    return new KernelFacts(netns);
  }

  /** Calls `listener` with each batch of notices, until disposed of. */
  listen(listener: NoticeListener): Disposable {
    const own: NoticeListener = (notices) => listener(notices);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  #dump(): void {
    this.links.replace(listLinks(this.#netlink));
    this.addresses.replace(listAddresses(this.#netlink));
    this.#readRoutes();
  }

  /** Dumped each time: the kernel deletes the IPv4 routes of a device that goes down without notices. */
  #readRoutes(): void {
    const rows: DefaultRoute[] = [];
    for (const route of listRoutes(this.#netlink).filter(isDefault)) {
      const family = isIpv4(route.destination.address) ? 4 : 6;
      for (const { ifindex } of nextHopsOf(route)) rows.push({ family, ifindex });
    }
    this.defaultRoutes.replace(rows);
  }

  #take(notices: readonly Notice[]): void {
    if (notices.some(({ kind }) => kind === "overrun")) {
      this.#dump();
    } else {
      for (const notice of notices) this.#apply(notice);
      if (notices.some((notice) => this.#concernsDefault(notice))) this.#readRoutes();
    }
    for (const listener of [...this.#listeners]) listener(notices);
  }

  #apply(notice: Notice): void {
    if (notice.kind === "address") {
      if (notice.gone) this.addresses.delete(addressKey(notice.address));
      else this.addresses.set(notice.address);
    }
    if (notice.kind !== "link") return;
    const { ifindex } = notice.link;
    if (!notice.gone) {
      this.links.set(notice.link);
      return;
    }
    this.links.delete(linkKey(ifindex));
    for (const address of this.addresses.rows()) {
      if (address.ifindex === ifindex) this.addresses.delete(addressKey(address));
    }
  }

  #concernsDefault(notice: Notice): boolean {
    if (notice.kind === "route") return isDefault(notice.route);
    const ifindex = notice.kind === "link"
      ? notice.link.ifindex
      : notice.kind === "address"
      ? notice.address.ifindex
      : undefined;
    return this.defaultRoutes.rows().some((route) => route.ifindex === ifindex);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#notices[Symbol.asyncDispose]();
    this.#netlink[Symbol.dispose]();
  }
}

/** One that leads somewhere: an answer that nothing is there has the loopback for its device. */
function isDefault({ destination, table, type }: Route): boolean {
  return table === TABLE_MAIN && type === "unicast" &&
    destination.prefixLength === (isIpv4(destination.address) ? 96 : 0);
}

/** Addresses for the node's pods, kept in SQLite: never given twice, and a freed one is used again last. */

import type { DatabaseSync } from "node:sqlite";
import {
  type Cidr,
  cidrAddress,
  cidrContains,
  cidrSize,
  formatCidr,
  formatIp,
  ipToBigint,
  isIpv4Cidr,
  maskCidr,
  parseCidr,
  parseIp,
} from "../../../datapath/net/ip.ts";
import { transaction } from "../../core/database.ts";

/** Every address of a range is given. */
export class AddressesExhaustedError extends Error {
  override readonly name = "AddressesExhaustedError";
}

/** An address was asked for that is taken, or that is not for pods. */
export class AddressTakenError extends Error {
  override readonly name = "AddressTakenError";
}

/** A node has at most this many endpoints, so no more addresses of a range are used. */
const MAX_ADDRESSES = 65_536n;

/** The router's place in a range; before it lies the network address (IPv6: subnet-router anycast). */
const ROUTER = 1;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS ranges (range TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS addresses (
  address TEXT PRIMARY KEY,
  range TEXT NOT NULL,
  owner TEXT,                          -- null: given back
  released INTEGER NOT NULL DEFAULT 0, -- order in which addresses were given back
  UNIQUE (owner, range)
) STRICT`;

interface Range {
  cidr: Cidr;
  name: string;
  family: "ipv4" | "ipv6";
  /** First and last number of an address that pods may get. */
  first: number;
  last: number;
}

/** One address a family, as text; a family without pod CIDR is missing. */
export interface AddressPair {
  ipv4?: string;
  ipv6?: string;
}

/** How full a range is. */
export interface RangeUsage {
  family: "ipv4" | "ipv6";
  range: string;
  used: number;
  capacity: number;
}

function rangeOf(text: string): Range {
  const cidr = maskCidr(parseCidr(text));
  const ipv4 = isIpv4Cidr(cidr);
  const size = cidrSize(cidr);
  const used = size < MAX_ADDRESSES ? size : MAX_ADDRESSES;
  // The last address of an IPv4 range is its broadcast address.
  const last = Number(used) - 1 - (ipv4 && used === size ? 1 : 0);
  if (last <= ROUTER) {
    throw new RangeError(
      `Pod CIDR ${formatCidr(cidr)} has no address for pods: take a shorter prefix, at most ` +
        `${ipv4 ? "/30" : "/126"}`,
    );
  }
  return {
    cidr,
    name: formatCidr(cidr),
    family: ipv4 ? "ipv4" : "ipv6",
    first: ROUTER + 1,
    last,
  };
}

/** The ranges of which somebody has an address, as text. */
export function usedRanges(database: DatabaseSync): string[] {
  database.exec(SCHEMA);
  const rows = database.prepare(
    "SELECT DISTINCT range FROM addresses WHERE owner IS NOT NULL ORDER BY range",
  ).all();
  return (rows as { range: string }[]).map(({ range }) => range);
}

/** The addresses of the node's pod CIDRs. All calls are synchronous and atomic. */
export class AddressPool {
  readonly #database: DatabaseSync;
  readonly #ranges: Range[];
  /** The node's own address in each range: what pods have as gateway. */
  readonly router: AddressPair = {};

  /** `podCidrs`: at most one a family. Throws TypeError and RangeError for wrong ones. */
  constructor(database: DatabaseSync, podCidrs: readonly string[]) {
    this.#database = database;
    this.#ranges = podCidrs.map(rangeOf);
    for (const { family, cidr } of this.#ranges) {
      if (this.router[family]) {
        throw new TypeError(`A node takes one ${family} pod CIDR, and got ${podCidrs.join(", ")}`);
      }
      this.router[family] = formatIp(cidrAddress(cidr, ROUTER));
    }
    if (this.#ranges.length === 0) throw new TypeError("A node needs a pod CIDR, and got none");
    database.exec(SCHEMA);
    for (const { name, first } of this.#ranges) {
      database.prepare("INSERT OR IGNORE INTO ranges VALUES (?, ?)").run(name, first);
    }
  }

  /**
   * An address of each range for `owner`: the same ones when it has them already. Throws
   * AddressesExhaustedError; then it has got none.
   */
  allocate(owner: string): AddressPair {
    return transaction(this.#database, () => {
      const pair = this.get(owner);
      for (const range of this.#ranges) pair[range.family] ??= this.#take(range, owner);
      return pair;
    });
  }

  #take(range: Range, owner: string): string {
    const address = this.#unused(range) ?? this.#longestFree(range);
    if (address === undefined) {
      const { used, capacity } = this.#usage(range);
      throw new AddressesExhaustedError(
        `Pod range ${range.name} is exhausted: ${used} of ${capacity} addresses are in use`,
      );
    }
    this.#give(range, address, owner);
    return address;
  }

  #give(range: Range, address: string, owner: string): void {
    this.#database.prepare(
      "INSERT INTO addresses (address, range, owner) VALUES (?, ?, ?) " +
        "ON CONFLICT (address) DO UPDATE SET owner = excluded.owner, range = excluded.range",
    ).run(address, range.name, owner);
  }

  /** The next address that was never given. */
  #unused({ cidr, name, last }: Range): string | undefined {
    const row = this.#database.prepare("SELECT next FROM ranges WHERE range = ?").get(name);
    const known = this.#database.prepare("SELECT 1 FROM addresses WHERE address = ?");
    let next = Number(row?.next);
    let found: string | undefined;
    while (found === undefined && next <= last) {
      const address = formatIp(cidrAddress(cidr, next++));
      if (!known.get(address)) found = address;
    }
    this.#database.prepare("UPDATE ranges SET next = ? WHERE range = ?").run(next, name);
    return found;
  }

  #longestFree({ name }: Range): string | undefined {
    const row = this.#database.prepare(
      "SELECT address FROM addresses WHERE range = ? AND owner IS NULL ORDER BY released LIMIT 1",
    ).get(name);
    return row?.address as string | undefined;
  }

  /**
   * Gives `owner` this very address: for endpoints that are found alive. Throws AddressTakenError
   * when another owner has it or it is none for pods, TypeError when it is no address.
   */
  reserve(owner: string, address: string): void {
    const ip = parseIp(address);
    const text = formatIp(ip);
    const range = this.#ranges.find(({ cidr }) => cidrContains(cidr, ip));
    const refuse = (reason: string) => {
      throw new AddressTakenError(`Cannot reserve ${text} for ${owner}: ${reason}`);
    };
    if (!range) return refuse(`no pod CIDR of this node (${this.#names()}) has it`);
    const position = ipToBigint(ip) - ipToBigint(range.cidr.address);
    if (position < range.first || position > range.last) {
      return refuse(`it is not among the addresses for pods of ${range.name}`);
    }
    transaction(this.#database, () => {
      const row = this.#database.prepare("SELECT owner FROM addresses WHERE address = ?").get(text);
      const holder = row?.owner;
      if (holder === owner) return;
      if (typeof holder === "string") refuse(`${holder} has it`);
      const other = this.get(owner)[range.family];
      if (other) refuse(`${owner} has ${other} of that range`);
      this.#give(range, text, owner);
    });
  }

  #names(): string {
    return this.#ranges.map((range) => range.name).join(", ");
  }

  /** What `owner` has. */
  get(owner: string): AddressPair {
    const pair: AddressPair = {};
    const rows = this.#database.prepare("SELECT address FROM addresses WHERE owner = ?").all(owner);
    for (const { address } of rows as { address: string }[]) {
      pair[address.includes(":") ? "ipv6" : "ipv4"] = address;
    }
    return pair;
  }

  /** Gives back all addresses of `owner`. Returns false when it had none. */
  release(owner: string): boolean {
    return transaction(this.#database, () => {
      const result = this.#database.prepare(
        "UPDATE addresses SET owner = NULL, " +
          "released = (SELECT max(released) FROM addresses) + 1 WHERE owner = ?",
      ).run(owner);
      return Number(result.changes) > 0;
    });
  }

  /** Everyone who has an address. */
  owners(): string[] {
    const rows = this.#database.prepare(
      "SELECT DISTINCT owner FROM addresses WHERE owner IS NOT NULL ORDER BY owner",
    ).all();
    return (rows as { owner: string }[]).map((row) => row.owner);
  }

  #usage({ family, name, first, last }: Range): RangeUsage {
    const row = this.#database.prepare(
      "SELECT count(*) AS used FROM addresses WHERE range = ? AND owner IS NOT NULL",
    ).get(name);
    return { family, range: name, used: Number(row?.used), capacity: last - first + 1 };
  }

  usage(): RangeUsage[] {
    return this.#ranges.map((range) => this.#usage(range));
  }
}

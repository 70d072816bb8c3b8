/**
 * Services in the kernel: a frontend's row names a set of backends. A change writes a new set, turns
 * the row to it and only then drops the old one, so that no packet finds a slot that points at nothing.
 */

import type { TypedMap } from "../../datapath/bpf/mod.ts";
import type { Backend, BackendKey, Service, ServiceKey } from "../../datapath/maps/generated.ts";
import { equalIp, formatIp } from "../../datapath/net/ip.ts";
import { setAll } from "../state/map_target.ts";
import type { ApplyResult, RowFailure, Target } from "../state/reconciler.ts";
import { Table } from "../state/table.ts";
import { type Frontend, frontendKey } from "./frontends.ts";

/** One address, port and protocol that is a service, and who answers there. */
export interface ServiceRow {
  key: ServiceKey;
  /** Number of the frontend, for people; unique on this node. */
  id: number;
  /** In the order of their slots. */
  backends: Backend[];
}

function keyText({ address, port, protocol }: ServiceKey): string {
  return `${formatIp(address)}|${port}|${protocol}`;
}

/** A table of frontends. */
export function serviceTable(): Table<ServiceRow> {
  return new Table<ServiceRow>({ name: "services", key: ({ key }) => keyText(key) });
}

/** Whether the kernel's row has what the desired one wants. */
export function sameService(a: ServiceRow, b: ServiceRow): boolean {
  return a.id === b.id && a.backends.length === b.backends.length &&
    a.backends.every((backend, i) => {
      const other = b.backends[i];
      return other !== undefined && backend.port === other.port &&
        equalIp(backend.address, other.address);
    });
}

/** IANA protocol numbers of service ports; SCTP is not served. */
const PROTOCOLS = { TCP: 6, UDP: 17 } as const;

/** Gives frontends their numbers, which stay for as long as this lives. */
export class FrontendNumbers {
  readonly #numbers = new Map<string, number>();
  #next = 1;

  /** The rows for the kernel: frontends of protocols that are served, with their active backends. */
  rows(frontends: readonly Frontend[]): ServiceRow[] {
    return frontends.flatMap((frontend) => {
      if (frontend.protocol === "SCTP") return [];
      const protocol = PROTOCOLS[frontend.protocol];
      const key = frontendKey(frontend);
      let id = this.#numbers.get(key);
      if (id === undefined) this.#numbers.set(key, id = this.#next++);
      return [{
        key: { address: frontend.address, port: frontend.port, protocol },
        id,
        backends: frontend.backends.filter(({ state }) => state === "active")
          .map(({ address, port }) => ({ address, port })),
      }];
    });
  }
}

/** Milliseconds that a replaced backend set stays, for packets on their way through a program. */
const RETIRE_MS = 1000;

/** The maps pilus_services and pilus_backends. */
export function serviceTarget(
  services: TypedMap<ServiceKey, Service>,
  backends: TypedMap<BackendKey, Backend>,
): Target<ServiceRow> & Disposable {
  let nextSet = 1;
  const retired: { set: number; count: number }[] = [];
  let timer: number | undefined;

  const dropSets = (sets: readonly { set: number; count: number }[]) => {
    const keys = sets.flatMap(({ set, count }) =>
      Array.from({ length: count }, (_, slot) => ({ set, slot }))
    );
    backends.deleteMany(keys);
  };
  const retire = (row: Service | undefined) => {
    if (!row || row.count === 0) return;
    retired.push({ set: row.set, count: row.count });
    timer ??= setTimeout(() => {
      timer = undefined;
      dropSets(retired.splice(0));
    }, RETIRE_MS);
  };

  return {
    read() {
      const sets = new Map<number, Backend[]>();
      for (const [{ set, slot }, backend] of backends.entries()) {
        nextSet = Math.max(nextSet, set + 1);
        let members = sets.get(set);
        if (!members) sets.set(set, members = []);
        members[slot] = backend;
      }
      const rows: ServiceRow[] = [];
      for (const [key, { set, id, count }] of services.entries()) {
        rows.push({ key, id, backends: (sets.get(set) ?? []).slice(0, count) });
        sets.delete(set);
      }
      for (const { set } of retired) sets.delete(set);
      // sets without a frontend: of an agent that died between two writes
      dropSets([...sets].map(([set, members]) => ({ set, count: members.length })));
      return rows;
    },
    apply(upserts, deletes): ApplyResult<ServiceRow> {
      const failed: RowFailure<ServiceRow>[] = [];
      for (const { key } of deletes) {
        const before = services.get(key);
        services.delete(key);
        retire(before);
      }
      const slots = upserts.map((row) => ({ row, set: nextSet++ }));
      const entries = slots.flatMap(({ row, set }) =>
        row.backends.map((backend, slot) => ({ row, key: { set, slot }, backend }))
      );
      const incomplete = new Map(
        setAll(backends, entries, ({ key, backend }) => [key, backend] as const)
          .map((failure) => [failure.row.row, failure.error]),
      );
      const before = new Map(upserts.map((row) => [row, services.get(row.key)]));
      const complete = slots.filter(({ row }) => !incomplete.has(row));
      const refused = new Map(
        setAll(
          services,
          complete,
          ({ row, set }) =>
            [row.key, { set, count: row.backends.length, id: row.id, flags: 0 }] as const,
        )
          .map((failure) => [failure.row.row, failure.error]),
      );
      for (const { row, set } of slots) {
        const error = incomplete.get(row) ?? refused.get(row);
        if (error) {
          dropSets([{ set, count: row.backends.length }]);
          failed.push({ row, error });
        } else {
          retire(before.get(row));
        }
      }
      return { failed };
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      timer = undefined;
      dropSets(retired.splice(0));
    },
  };
}

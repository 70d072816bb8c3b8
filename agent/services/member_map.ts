/** The map pilus_members: by service number and backend, where in the service's sets the backend is. */

import type { TypedMap } from "../../datapath/bpf/mod.ts";
import { type MemberKey, ServiceScope } from "../../datapath/maps/generated.ts";
import { setAll } from "../state/map_target.ts";
import type { ApplyResult, Target } from "../state/reconciler.ts";
import { backendText, setTexts } from "./backend_set.ts";
import { serviceKeyText, type ServiceRow, unknownRow } from "./service_maps.ts";

/**
 * Members of a service number as text: {@linkcode backendText} and two characters, the member's
 * indices in the sets of both scopes and 1; 0: it is not in that one. Sorted.
 */
type Content = string;

const RECORD = 18 + 2;

/** The kernel's value. */
type Index = [inside: number, outside: number];

function* records(content: Content): Generator<[backend: string, index: string]> {
  for (let at = 0; at < content.length; at += RECORD) {
    yield [content.slice(at, at + RECORD - 2), content.slice(at + RECORD - 2, at + RECORD)];
  }
}

function contentOf(members: Iterable<[backend: string, index: string]>): Content {
  return Array.from(members, ([backend, index]) => backend + index).sort().join("");
}

function keyOf(service: number, backend: string): MemberKey {
  const bytes = Uint8Array.from(backend, (char) => char.charCodeAt(0));
  return { address: bytes.subarray(0, 16), service, port: bytes[16]! << 8 | bytes[17]! };
}

function valueOf(index: string): Index {
  return [index.charCodeAt(0), index.charCodeAt(1)];
}

/** Members follow the same rows as the services. Frontends of one number have equal sets a family. */
export class MemberMap implements Target<ServiceRow> {
  readonly #map: TypedMap<MemberKey, Index>;
  /** What the kernel has, by number. */
  #kernel = new Map<number, Content>();
  /** What has been applied, by number. */
  readonly #rows = new Map<number, ServiceRow[]>();
  /** By the row's key. */
  readonly #numbers = new Map<string, number>();

  constructor(map: TypedMap<MemberKey, Index>) {
    this.#map = map;
  }

  /** Members of a number that no row has are deleted, except the first time, when no row is known. */
  read(): ServiceRow[] {
    const found = new Map<number, [string, string][]>();
    for (const [{ service, address, port }, index] of this.#map.entries()) {
      let members = found.get(service);
      if (!members) found.set(service, members = []);
      members.push([backendText(address, port), String.fromCharCode(...index)]);
    }
    this.#kernel = new Map([...found].map(([id, members]) => [id, contentOf(members)]));
    if (this.#rows.size === 0) return [];
    this.#write([...this.#kernel.keys()].filter((id) => !this.#rows.has(id)));
    return [...this.#rows].flatMap(([id, rows]) =>
      this.#kernel.get(id) === this.#wanted(id)
        ? rows
        : rows.map(({ key }) => ({ ...unknownRow(key), id }))
    );
  }

  seal(): string {
    return this.#map.raw.fingerprint();
  }

  apply(upserts: ServiceRow[], deletes: ServiceRow[]): ApplyResult<ServiceRow> {
    const touched = new Set<number>();
    for (const row of deletes) this.#forget(row, touched);
    for (const row of upserts) {
      this.#forget(row, touched);
      const rows = this.#rows.get(row.id);
      if (rows) rows.push(row);
      else this.#rows.set(row.id, [row]);
      this.#numbers.set(serviceKeyText(row.key), row.id);
      touched.add(row.id);
    }
    const errors = this.#write(touched);
    return {
      failed: upserts.flatMap((row) => {
        const error = errors.get(row.id);
        return error ? [{ row, error }] : [];
      }),
    };
  }

  #forget({ key }: ServiceRow, touched: Set<number>): void {
    const text = serviceKeyText(key);
    const id = this.#numbers.get(text);
    if (id === undefined) return;
    this.#numbers.delete(text);
    touched.add(id);
    const rest = this.#rows.get(id)!.filter((row) => serviceKeyText(row.key) !== text);
    if (rest.length > 0) this.#rows.set(id, rest);
    else this.#rows.delete(id);
  }

  #wanted(id: number): Content {
    const members = new Map<string, string>();
    for (const { sides } of this.#rows.get(id) ?? []) {
      const scopes = [ServiceScope.SCOPE_INSIDE, ServiceScope.SCOPE_OUTSIDE];
      const [inside, outside] = scopes.map((scope) => setTexts(sides[scope as 0 | 1]));
      const index = new Map(outside!.map((backend, i) => [backend, i + 1]));
      inside!.forEach((backend, i) =>
        members.set(backend, String.fromCharCode(i + 1, index.get(backend) ?? 0))
      );
      for (const [backend, at] of index) {
        if (!members.has(backend)) members.set(backend, String.fromCharCode(0, at));
      }
    }
    return contentOf(members);
  }

  /** Makes the kernel's members of these numbers what is wanted. Returns what failed, by number. */
  #write(ids: Iterable<number>): Map<number, Error> {
    const gone: MemberKey[] = [];
    const added: { id: number; backend: string; index: string }[] = [];
    const errors = new Map<number, Error>();
    for (const id of ids) {
      const wanted = this.#wanted(id);
      const before = this.#kernel.get(id) ?? "";
      if (wanted === before) continue;
      const after = new Map(records(wanted));
      const old = new Map(records(before));
      for (const backend of old.keys()) if (!after.has(backend)) gone.push(keyOf(id, backend));
      for (const [backend, index] of after) {
        if (old.get(backend) !== index) added.push({ id, backend, index });
      }
      if (wanted === "") this.#kernel.delete(id);
      else this.#kernel.set(id, wanted);
    }
    // deletes first: they make room for what is added
    this.#map.deleteMany(gone);
    const failed = setAll(
      this.#map,
      added,
      ({ id, backend, index }) => [keyOf(id, backend), valueOf(index)],
    );
    for (const { row: { id, backend }, error } of failed) {
      errors.set(id, error);
      const rest = [...records(this.#kernel.get(id)!)].filter(([other]) => other !== backend);
      this.#kernel.set(id, contentOf(rest));
    }
    return errors;
  }
}

/** The map pilus_backend_index: by service number and backend, where in the service's sets the backend is. */

import { mapFingerprint, type TypedMap } from "../../../../datapath/bpf/mod.ts";
import type { BackendIndexKey } from "../../../../datapath/maps/generated.ts";
import { setAll } from "../../map_target.ts";
import type { ApplyResult, Target } from "../../../core/reconciler.ts";
import { backendText, setTexts } from "./backend_set.ts";
import { EXTERNAL, INTERNAL, serviceKeyText, type ServiceRow, unknownRow } from "./service_row.ts";

/**
 * Members of a service number as text: {@linkcode backendText} and two characters, the member's
 * indices in the sets of both scopes and 1; 0: it is not in that one. Sorted.
 */
type Content = string;

const RECORD = 18 + 2;

/** The kernel's value. */
type Index = [internal: number, external: number];

function* records(content: Content): Generator<[backend: string, index: string]> {
  for (let at = 0; at < content.length; at += RECORD) {
    yield [content.slice(at, at + RECORD - 2), content.slice(at + RECORD - 2, at + RECORD)];
  }
}

function contentOf(members: Iterable<[backend: string, index: string]>): Content {
  return Array.from(members, ([backend, index]) => backend + index).sort().join("");
}

function keyOf(service: number, backend: string): BackendIndexKey {
  const bytes = Uint8Array.from(backend, (char) => char.charCodeAt(0));
  return { address: bytes.subarray(0, 16), service, port: bytes[16]! << 8 | bytes[17]! };
}

function valueOf(index: string): Index {
  return [index.charCodeAt(0), index.charCodeAt(1)];
}

/** Members follow the same rows as the services. Frontends of one number have equal sets a family. */
export class MemberMap implements Target<ServiceRow> {
  readonly #map: TypedMap<BackendIndexKey, Index>;
  /** What the kernel has, by number, where it differs from the rows. */
  #kernel = new Map<number, Content>();
  /** What has been applied, by number. */
  readonly #rows = new Map<number, ServiceRow[]>();
  /** By the row's key. */
  readonly #numbers = new Map<string, number>();

  constructor(map: TypedMap<BackendIndexKey, Index>) {
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
    this.#kernel.clear();
    for (const id of new Set([...found.keys(), ...this.#rows.keys()])) {
      const content = contentOf(found.get(id) ?? []);
      if (content !== this.#wanted(id)) this.#kernel.set(id, content);
    }
    if (this.#rows.size === 0) return [];
    const strays = [...this.#kernel.keys()].filter((id) => !this.#rows.has(id));
    this.#write(new Map(strays.map((id) => [id, this.#kernel.get(id)!])));
    return [...this.#rows].flatMap(([id, rows]) =>
      this.#kernel.has(id) ? rows.map(({ key }) => unknownRow(key, id)) : rows
    );
  }

  fingerprint(): string {
    return mapFingerprint(this.#map.raw);
  }

  apply(upserts: ServiceRow[], deletes: ServiceRow[]): ApplyResult<ServiceRow> {
    const before = new Map<number, Content>();
    const touch = (id: number) => {
      if (!before.has(id)) before.set(id, this.#kernel.get(id) ?? this.#wanted(id));
    };
    const all = [...deletes, ...upserts];
    for (const { key } of all) {
      const id = this.#numbers.get(serviceKeyText(key));
      if (id !== undefined) touch(id);
    }
    for (const { id } of upserts) touch(id);
    for (const row of all) this.#forget(row);
    for (const row of upserts) {
      const rows = this.#rows.get(row.id);
      if (rows) rows.push(row);
      else this.#rows.set(row.id, [row]);
      this.#numbers.set(serviceKeyText(row.key), row.id);
    }
    const errors = this.#write(before);
    return {
      failed: upserts.flatMap((row) => {
        const error = errors.get(row.id);
        return error ? [{ row, error }] : [];
      }),
    };
  }

  #forget({ key }: ServiceRow): void {
    const text = serviceKeyText(key);
    const id = this.#numbers.get(text);
    if (id === undefined) return;
    this.#numbers.delete(text);
    const rest = this.#rows.get(id)!.filter((row) => serviceKeyText(row.key) !== text);
    if (rest.length > 0) this.#rows.set(id, rest);
    else this.#rows.delete(id);
  }

  #wanted(id: number): Content {
    const members = new Map<string, string>();
    for (const { sides } of this.#rows.get(id) ?? []) {
      const index = new Map(setTexts(sides[EXTERNAL]).map((backend, i) => [backend, i + 1]));
      setTexts(sides[INTERNAL]).forEach((backend, i) =>
        members.set(backend, String.fromCharCode(i + 1, index.get(backend) ?? 0))
      );
      for (const [backend, at] of index) {
        if (!members.has(backend)) members.set(backend, String.fromCharCode(0, at));
      }
    }
    return contentOf(members);
  }

  /**
   * Makes the kernel's members of the numbers in `before`, which is what it has of them, what is
   * wanted. Returns what failed, by number.
   */
  #write(before: ReadonlyMap<number, Content>): Map<number, Error> {
    const gone: BackendIndexKey[] = [];
    const added: { id: number; backend: string; index: string }[] = [];
    for (const [id, content] of before) {
      const wanted = this.#wanted(id);
      if (wanted === content) continue;
      const after = new Map(records(wanted));
      const old = new Map(records(content));
      for (const backend of old.keys()) if (!after.has(backend)) gone.push(keyOf(id, backend));
      for (const [backend, index] of after) {
        if (old.get(backend) !== index) added.push({ id, backend, index });
      }
    }
    // until all is written, should that throw
    for (const [id, content] of before) this.#kernel.set(id, content);
    // deletes first: they make room for what is added
    this.#map.deleteMany(gone);
    const failed = setAll(
      this.#map,
      added,
      ({ id, backend, index }) => [keyOf(id, backend), valueOf(index)],
    );
    for (const id of before.keys()) this.#kernel.delete(id);
    const errors = new Map<number, Error>();
    for (const { row: { id, backend }, error } of failed) {
      errors.set(id, error);
      const there = [...records(this.#kernel.get(id) ?? this.#wanted(id))];
      this.#kernel.set(id, contentOf(there.filter(([other]) => other !== backend)));
    }
    return errors;
  }
}

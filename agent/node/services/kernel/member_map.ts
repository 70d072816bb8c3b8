/** The map pilus_backend_index: by service number and backend, where in the service's sets the backend is. */

import { mapFingerprint, type TypedMap } from "../../../../datapath/bpf/mod.ts";
import type { BackendIndexKey } from "../../../../datapath/maps/generated.ts";
import { setAll } from "../../map_target.ts";
import type { ApplyResult, Target } from "../../../core/reconciler.ts";
import { ROW_BYTES, setLength, setTexts } from "./backend_set.ts";
import { EXTERNAL, INTERNAL, serviceKeyText, type ServiceRow, unknownRow } from "./service_row.ts";

/**
 * Members of a service number as text, in no order: `backendText` and two characters, the member's
 * indices in the sets of both scopes and 1; 0: it is not in that one.
 */
type Content = string;

const RECORD = 18 + 2;

/** The kernel's value. */
type Index = [internal: number, external: number];

/** In struct backend_index_key, where the service's number and the port are. */
const SERVICE = 16, PORT = 20;

function* records(content: Content): Generator<[backend: string, index: string]> {
  for (let at = 0; at < content.length; at += RECORD) {
    yield [content.slice(at, at + RECORD - 2), content.slice(at + RECORD - 2, at + RECORD)];
  }
}

function contentOf(members: Iterable<[backend: string, index: string]>): Content {
  return Array.from(members, ([backend, index]) => backend + index).join("");
}

/** Whether both have the same members. */
function sameMembers(a: Content, b: Content): boolean {
  if (a.length !== b.length) return false;
  const members = new Map(records(b));
  return a === b || records(a).every(([backend, index]) => members.get(backend) === index);
}

/** Whether the members are those of the row. */
function isContentOf({ sides }: ServiceRow, content: Content): boolean {
  let found = 0;
  for (let at = 0; at < content.length; at += RECORD) {
    for (const scope of [INTERNAL, EXTERNAL]) {
      const position = content.charCodeAt(at + RECORD - 2 + scope);
      if (position === 0) continue;
      found++;
      const backend = (position - 1) * ROW_BYTES;
      // of no other length, as behind the end there is no character
      for (let byte = 0; byte < RECORD - 2; byte++) {
        const wanted = sides[scope].content.charCodeAt(backend + byte);
        if (content.charCodeAt(at + byte) !== wanted) return false;
      }
    }
  }
  return found === setLength(sides[INTERNAL]) + setLength(sides[EXTERNAL]);
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
    const found = this.#contents();
    this.#kernel.clear();
    for (const id of new Set([...found.keys(), ...this.#rows.keys()])) {
      const content = found.get(id) ?? "";
      if (!this.#isRight(id, content)) this.#kernel.set(id, content);
    }
    if (this.#rows.size === 0) return [];
    const strays = [...this.#kernel.keys()].filter((id) => !this.#rows.has(id));
    this.#write(new Map(strays.map((id) => [id, this.#kernel.get(id)!])));
    return [...this.#rows].flatMap(([id, rows]) =>
      this.#kernel.has(id) ? rows.map(({ key }) => unknownRow(key, id)) : rows
    );
  }

  /** What the kernel has, by number. From bytes to text, as there are very many rows. */
  #contents(): Map<number, Content> {
    const found = new Map<number, Content>();
    const record = new Uint16Array(RECORD);
    const { raw } = this.#map;
    for (const { keys, values, count } of raw.batches()) {
      const numbers = new DataView(keys.buffer, keys.byteOffset);
      const indices = new DataView(values.buffer, values.byteOffset);
      for (let i = 0; i < count; i++) {
        const key = i * raw.keySize, value = i * raw.storedValueSize;
        for (let byte = 0; byte < 16; byte++) record[byte] = keys[key + byte]!;
        record[16] = keys[key + PORT]!;
        record[17] = keys[key + PORT + 1]!;
        record[18] = indices.getUint32(value, true);
        record[19] = indices.getUint32(value + 4, true);
        const text = String.fromCharCode.apply(null, record as unknown as number[]);
        const id = numbers.getUint32(key + SERVICE, true);
        found.set(id, (found.get(id) ?? "") + text);
      }
    }
    return found;
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

  /** Whether the members are those that are wanted. */
  #isRight(id: number, content: Content): boolean {
    const rows = this.#rows.get(id) ?? [];
    const [row] = rows;
    return row && rows.length === 1
      ? isContentOf(row, content)
      : sameMembers(content, this.#wanted(id));
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
      if (this.#isRight(id, content)) continue;
      const after = new Map(records(this.#wanted(id)));
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

/**
 * What nodes that share a manifest directory tell each other in it: each publishes its own pods'
 * endpoints, and all agree on the numbers of identities. The files are manifests like others.
 */

import { basename, dirname, join } from "@std/path";
import { IDENTITY_MAX, IDENTITY_MIN, type IdentityAllocator } from "../identities.ts";
import { hash32, type LabelMap, labelsKey } from "../labels.ts";
import type { CiliumEndpoint, CiliumIdentity } from "../../kubernetes/resources.ts";
import type { ApplyResult, RowFailure, Target } from "../../core/reconciler.ts";
import { parseManifest } from "../../kubernetes/manifest.ts";

/** The directory within the manifest directory for what nodes publish. */
export const PUBLISHED = ".pilus";

/** Writes the whole file or nothing of it: readers never see a part. */
export function writeAtomically(path: string, text: string): void {
  const draft = join(dirname(path), `.${basename(path)}.${Deno.pid}`);
  Deno.writeTextFileSync(draft, text, { mode: 0o644 });
  Deno.renameSync(draft, path);
}

function manifestText(resource: CiliumEndpoint | CiliumIdentity): string {
  const { metadata: { namespace, ...metadata }, ...rest } = resource;
  const where = namespace === "" ? {} : { namespace };
  return JSON.stringify(
    { apiVersion: "cilium.io/v2", ...rest, metadata: { ...metadata, ...where } },
    null,
    2,
  ) + "\n";
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/**
 * Files of the endpoints that `node` publishes, one a pod: a target for a reconciler whose rows are
 * keyed as resources are.
 */
export class EndpointFiles implements Target<CiliumEndpoint> {
  #folder: string;

  constructor(directory: string, node: string) {
    this.#folder = join(directory, PUBLISHED, "endpoints", node);
    Deno.mkdirSync(this.#folder, { recursive: true });
  }

  read(): CiliumEndpoint[] {
    Deno.mkdirSync(this.#folder, { recursive: true });
    const rows: CiliumEndpoint[] = [];
    for (const { name } of Deno.readDirSync(this.#folder)) {
      const path = join(this.#folder, name);
      const [first] = parseManifest(Deno.readTextFileSync(path)).resources;
      const row = first?.kind === "CiliumEndpoint" ? first.resource as CiliumEndpoint : undefined;
      // A draft that a crash left, or a file that somebody spoilt: it is written anew if it is due.
      if (!row || this.#path(row) !== path) Deno.removeSync(path);
      else rows.push(row);
    }
    return rows;
  }

  apply(upserts: CiliumEndpoint[], deletes: CiliumEndpoint[]): ApplyResult<CiliumEndpoint> {
    const failed: RowFailure<CiliumEndpoint>[] = [];
    const attempt = (row: CiliumEndpoint, act: (path: string) => void) => {
      try {
        act(this.#path(row));
      } catch (error) {
        failed.push({ row, error: asError(error) });
      }
    };
    for (const row of deletes) {
      attempt(row, (path) => {
        try {
          Deno.removeSync(path);
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error;
        }
      });
    }
    for (const row of upserts) attempt(row, (path) => writeAtomically(path, manifestText(row)));
    return { failed };
  }

  #path({ metadata }: CiliumEndpoint): string {
    return join(this.#folder, `${metadata.namespace}_${metadata.name}.json`);
  }
}

/**
 * Numbers for label sets in the shared directory. The file of a number is made by link(2), which
 * fails when it is there, so two nodes never give one number to two label sets; both begin to look at
 * the number that the labels hash to, so they find the same one.
 */
export class FileIdentities implements IdentityAllocator {
  #folder: string;
  #known = new Map<string, Promise<number>>();

  constructor(directory: string) {
    this.#folder = join(directory, PUBLISHED, "identities");
  }

  allocate(labels: LabelMap): Promise<number> {
    const key = labelsKey(labels);
    let number = this.#known.get(key);
    if (!number) {
      number = this.#claim(labels, key);
      this.#known.set(key, number);
      number.catch(() => this.#known.delete(key));
    }
    return number;
  }

  async #claim(labels: LabelMap, key: string): Promise<number> {
    await Deno.mkdir(this.#folder, { recursive: true });
    const range = IDENTITY_MAX - IDENTITY_MIN + 1;
    const start = hash32(key) % range;
    const draft = join(this.#folder, `.${start}.${crypto.randomUUID()}`);
    try {
      for (let i = 0; i < range; i++) {
        const number = IDENTITY_MIN + (start + i) % range;
        const path = join(this.#folder, `${number}.json`);
        let owner = await this.#owner(path);
        if (owner === undefined) {
          await Deno.writeTextFile(draft, identityText(number, labels));
          try {
            await Deno.link(draft, path);
            return number;
          } catch (error) {
            if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
            owner = await this.#owner(path);
          }
        }
        if (owner === key) return number;
      }
    } finally {
      await Deno.remove(draft).catch(() => {});
    }
    throw new RangeError(
      `No identity is free: all of ${IDENTITY_MIN} to ${IDENTITY_MAX} are taken in ${this.#folder}`,
    );
  }

  /** The key of the labels that the file gives its number to; empty when it is spoilt. */
  async #owner(path: string): Promise<string | undefined> {
    let text: string;
    try {
      text = await Deno.readTextFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
    const [first] = parseManifest(text).resources;
    if (first?.kind !== "CiliumIdentity") return "";
    return labelsKey((first.resource as CiliumIdentity)["security-labels"]);
  }
}

function identityText(number: number, labels: LabelMap): string {
  return manifestText({
    kind: "CiliumIdentity",
    metadata: { name: `${number}`, namespace: "", labels: {} },
    "security-labels": labels,
  });
}

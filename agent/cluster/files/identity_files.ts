/**
 * Numbers for label sets in the shared directory. The file of a number is made by link(2), which
 * fails when it is there, so two nodes never give one number to two label sets; both begin to look at
 * the number that the labels hash to, so they find the same one.
 */

import { join } from "@std/path";
import { draftPath } from "../../core/whole_file.ts";
import { IDENTITY_MAX, IDENTITY_MIN } from "../identities.ts";
import { hash32, type LabelMap, labelsKey } from "../labels.ts";
import { readBounded } from "../../core/bounded_file.ts";
import { checkedFolder } from "./paths.ts";
import { identityRow, identityText, MAX_PUBLISHED_BYTES, readPublished } from "./published.ts";

/** The number of the labels; see the module. Throws RangeError when all are taken. */
export async function claimIdentity(directory: string, labels: LabelMap): Promise<number> {
  const folder = checkedFolder(directory, ["identities"]);
  const key = labelsKey(labels);
  const range = IDENTITY_MAX - IDENTITY_MIN + 1;
  const start = hash32(key) % range;
  for (let i = 0; i < range; i++) {
    const id = IDENTITY_MIN + (start + i) % range;
    const path = join(folder, `${id}.json`);
    let owner = ownerOf(path);
    if (owner === undefined) {
      if (await makeFile(path, identityText({ id, labels }))) return id;
      owner = ownerOf(path);
    }
    if (owner === key) return id;
  }
  throw new RangeError(
    `No identity is free: all of ${IDENTITY_MIN} to ${IDENTITY_MAX} are taken in ${folder}`,
  );
}

/** Whether the file was made: false when it is there. */
async function makeFile(path: string, text: string): Promise<boolean> {
  const draft = draftPath(path);
  try {
    await Deno.writeTextFile(draft, text, { createNew: true, mode: 0o644 });
    await Deno.link(draft, path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  } finally {
    await Deno.remove(draft).catch(() => {});
  }
}

/** The key of the labels that have the number; empty when the file is spoilt. */
function ownerOf(path: string): string | undefined {
  let text: string;
  try {
    text = readBounded(path, { maxBytes: MAX_PUBLISHED_BYTES, followLinks: false });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return ""; // a link, a directory, or much too large: not one of ours
  }
  const [row] = readPublished(text, {
    endpoint: () => undefined,
    identity: identityRow,
  }).resources;
  return row ? labelsKey(row.labels) : "";
}

/** Where in the shared directory things are. Names are checked before they become paths. */

import { join } from "@std/path";
import { isResourceName } from "../../kubernetes/names.ts";

/** The directory within the manifest directory for what nodes publish. */
export const PUBLISHED = ".pilus";

const BATCH_FILE = /^endpoints-([1-9][0-9]{0,5})\.json$/;
/** What a writer that was killed leaves. */
const DRAFT = /^\.endpoints-[0-9]+\.json\.[0-9a-f-]+$/;

/**
 * A folder of what nodes publish, made when it is not there. No part of the way is a link: who may
 * write in the shared directory could lead another node's writes to any place.
 *
 * Throws TypeError when a part is not a name of the API, Error when it is not a directory.
 */
export function checkedFolder(directory: string, parts: readonly string[]): string {
  let path = directory;
  for (const part of [PUBLISHED, ...parts]) {
    if (part !== PUBLISHED && !isResourceName(part)) {
      throw new TypeError(`Cannot use ${JSON.stringify(part)} as a folder: it is no name`);
    }
    path = join(path, part);
    try {
      Deno.mkdirSync(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
    if (!Deno.lstatSync(path).isDirectory) {
      throw new Error(`Cannot write below ${path}: it is no directory; remove it`);
    }
  }
  return path;
}

/** The name of a node's file of that number. */
export function batchFileName(number: number): string {
  return `endpoints-${number}.json`;
}

/** The opposite of {@linkcode batchFileName}; undefined for other names. */
export function batchNumberOf(name: string): number | undefined {
  const [, number] = BATCH_FILE.exec(name) ?? [];
  return number === undefined ? undefined : Number(number);
}

/** Whether a file may be one of a node's endpoints, or a draft of one. */
export function isOwnFileName(name: string): boolean {
  return BATCH_FILE.test(name) || DRAFT.test(name);
}

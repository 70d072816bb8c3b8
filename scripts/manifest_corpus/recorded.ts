/** Kubernetes' verdicts on the corpus, recorded so that the tests need no Go. */

import { fromFileUrl } from "@std/path";
import type { Verdict } from "./compare.ts";

const FILE = fromFileUrl(new URL("./recorded.json", import.meta.url));

export interface Recorded {
  /** The version of Kubernetes. */
  kubernetes: string;
  seed: number;
  /** Of the texts, so that verdicts are not on others. */
  sha256: string;
  /** One a text. */
  verdicts: readonly Verdict[];
}

/** What makes texts the same. */
export async function sha256(texts: readonly string[]): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(texts));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** In lines of so many verdicts. */
const COLUMNS = 80;

export function readRecorded(): Recorded {
  const { verdicts, ...rest } = JSON.parse(Deno.readTextFileSync(FILE));
  return { ...rest, verdicts: [...verdicts.join("")] };
}

export function writeRecorded({ verdicts, ...rest }: Recorded): void {
  const all = verdicts.join("");
  const lines = all.match(new RegExp(`.{1,${COLUMNS}}`, "g"));
  Deno.writeTextFileSync(FILE, `${JSON.stringify({ ...rest, verdicts: lines }, null, 2)}\n`);
}

/** Verdicts on the corpus, recorded so that the tests need no Go. */

import type { Verdict } from "./compare.ts";
import { type Oracle, oraclePath } from "./oracle.ts";

const FILE = "recorded.json";

export interface Recorded {
  /** Of whose verdicts these are. */
  version: string;
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

export function readRecorded(oracle: Oracle): Recorded {
  const { verdicts, ...rest } = JSON.parse(Deno.readTextFileSync(oraclePath(oracle, FILE)));
  return { ...rest, verdicts: [...verdicts.join("")] };
}

export function writeRecorded(oracle: Oracle, { verdicts, ...rest }: Recorded): void {
  const all = verdicts.join("");
  const lines = all.match(new RegExp(`.{1,${COLUMNS}}`, "g"));
  const text = JSON.stringify({ ...rest, verdicts: lines }, null, 2);
  Deno.writeTextFileSync(oraclePath(oracle, FILE), `${text}\n`);
}

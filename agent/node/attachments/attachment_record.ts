/**
 * What is attached, in a file of the run directory: by it an agent that starts knows what was taken off
 * while no agent was there to report it.
 */

import { readBounded } from "../../core/bounded_file.ts";
import { removeDrafts, writeWhole } from "../../core/whole_file.ts";
import type { AttachmentRow } from "./attachment.ts";

/** A row that is attached, by so many links or filters. */
export interface RecordedAttachment extends Pick<AttachmentRow, "hook" | "device" | "ifindex"> {
  count: number;
}

/** What the agent before had attached. */
export interface EarlierAttachments {
  /** When it last found it so. */
  at: Date;
  rows: RecordedAttachment[];
}

/** The file's name in the run directory. */
export const ATTACHMENTS = "attachments.json";

const MAX_BYTES = 4 << 20;
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** See the module. */
export class AttachmentRecord {
  readonly #path: string;
  readonly #boot = Deno.readTextFileSync(BOOT_ID).trim();
  #text = "";
  /** What the agent before this one has left; undefined when the node has had none since it booted. */
  readonly earlier: EarlierAttachments | undefined;

  constructor(runDir: string) {
    this.#path = `${runDir}/${ATTACHMENTS}`;
    removeDrafts(this.#path);
    this.earlier = this.#read();
  }

  #read(): EarlierAttachments | undefined {
    try {
      const at = Deno.lstatSync(this.#path).mtime;
      const { boot, rows } = JSON.parse(
        readBounded(this.#path, { maxBytes: MAX_BYTES, followLinks: false }),
      );
      if (boot !== this.#boot || !at || !Array.isArray(rows)) return undefined;
      return rows.every(isRecorded) ? { at, rows } : undefined;
    } catch {
      return undefined; // there is none, or it is not ours
    }
  }

  /**
   * Keeps what is attached and when it was last found so. Best effort: in a run directory that is full a
   * report alone is lost.
   */
  keep(rows: readonly RecordedAttachment[], at: Date): void {
    const text = JSON.stringify({ boot: this.#boot, rows });
    try {
      if (text !== this.#text) writeWhole(this.#path, text, { mode: 0o600 });
      this.#text = text;
      Deno.utimeSync(this.#path, at, at);
    } catch {
      this.#text = "";
    }
  }
}

function isRecorded(row: unknown): row is RecordedAttachment {
  const { hook, device, ifindex, count } = row as Record<string, unknown>;
  return /^(tc|xdp|sockets)$/.test(String(hook)) &&
    typeof device === "string" && !device.includes("/") &&
    Number.isInteger(ifindex) && Number.isInteger(count);
}

/** Programs at their hooks as the kernel's side of a reconciler, held by descriptor. */

import type { Bpffs } from "../../../datapath/bpffs.ts";
import { HeldAttachment, hookPin } from "../../../datapath/held_attachment.ts";
import { type Loader, SOCKET_HOOKS } from "../../../datapath/loader.ts";
import type { XdpChoice, XdpDeviceState } from "../../../datapath/xdp_device.ts";
import { attemptEach } from "../../core/attempt_each.ts";
import type { ApplyResult, Target } from "../../core/reconciler.ts";
import { HOST_IFNAME } from "../endpoints/plumbing.ts";
import type { AttachmentRow } from "./attachment.ts";
import type { AttachmentRecord } from "./attachment_record.ts";

/** Options for an {@linkcode AttachmentTarget}. */
export interface AttachmentTargetOptions {
  loader: Loader;
  bpffs: Bpffs;
  record: AttachmentRecord;
  cgroup: string;
  xdp: XdpChoice;
  /** Called when it is known where a device runs its XDP program. */
  onXdp: (state: XdpDeviceState) => void;
}

interface Held {
  row: AttachmentRow;
  attachment: HeldAttachment;
}

/** See the module. Disposing leaves everything attached. */
export class AttachmentTarget implements Target<AttachmentRow>, Disposable {
  readonly #options: AttachmentTargetOptions;
  readonly #held = new Map<string, Held>();
  /** Left by an earlier agent; taken over or removed by the first pass. */
  #adopted: AttachmentRow[];
  /** When all that is held was last found as it was attached. */
  #rightAt = new Date();

  constructor(options: AttachmentTargetOptions) {
    this.#options = options;
    this.#adopted = pinnedRows(options.loader.linkDirectory);
  }

  /** Those rows of the agent before, by key, that are not attached any more as it left them. */
  changedMeanwhile(): string[] {
    const { record: { earlier }, loader } = this.#options;
    return earlier?.rows.filter((row) => {
      try {
        using attachment = heldOf(loader.linkDirectory, row);
        return attachment.count !== row.count || !attachment.intact();
      } catch {
        return true;
      }
    }).map(keyOf) ?? [];
  }

  *read(): Generator<AttachmentRow> {
    yield* this.#adopted;
    this.#adopted = [];
    const at = new Date();
    let all = this.#held.size > 0;
    for (const { row, attachment } of this.#held.values()) {
      if (attachment.intact()) yield row;
      else all = false;
    }
    if (!all) return;
    this.#rightAt = at;
    this.#record();
  }

  #record(): void {
    const rows = [...this.#held.values()].map(({ row, attachment: { count } }) => {
      const { hook, device, ifindex } = row;
      return { hook, device, ifindex, count };
    });
    this.#options.record.keep(rows, this.#rightAt);
  }

  apply(upserts: AttachmentRow[], deletes: AttachmentRow[]): ApplyResult<AttachmentRow> {
    const failed = [
      ...attemptEach(
        deletes,
        (row) => explained(`Cannot detach from ${row.device}`, () => this.#detach(row)),
      ),
      ...attemptEach(
        upserts,
        (row) =>
          explained(`${row.subject} is without its ${row.hook} programs`, () => {
            this.#options.bpffs.restore();
            this.#attach(row);
          }),
      ),
    ];
    this.#record();
    return { failed };
  }

  #attach(row: AttachmentRow): void {
    const { loader, cgroup, xdp, onXdp } = this.#options;
    const { hook, device, ifindex } = row;
    const key = keyOf(row);
    const before = this.#held.get(key);
    // a link without its pin would be attached a second time
    before?.attachment.repin();
    if (hook === "tc") loader.attachDevice(row.kind!, ifindex, device);
    else if (hook === "xdp") onXdp(loader.attachXdpDevice(ifindex, device, xdp));
    else loader.attachSockets(cgroup);
    const attachment = heldOf(loader.linkDirectory, row);
    before?.attachment[Symbol.dispose]();
    this.#held.set(key, { row, attachment });
  }

  #detach(row: AttachmentRow): void {
    const { loader } = this.#options;
    const key = keyOf(row);
    this.#held.get(key)?.attachment.detach();
    this.#held.delete(key);
    if (row.hook === "tc") loader.detachDevice(row.ifindex, row.device);
    if (row.hook === "xdp") {
      using left = HeldAttachment.pinned([hookPin(loader.linkDirectory, row.device, "xdp")]);
      left.detach();
    }
  }

  [Symbol.dispose](): void {
    for (const { attachment } of this.#held.values()) attachment[Symbol.dispose]();
    this.#held.clear();
  }
}

function keyOf({ hook, device }: Pick<AttachmentRow, "hook" | "device">): string {
  return `${hook} ${device}`;
}

/** What is attached for the row. Throws when a tc program is not. */
function heldOf(
  directory: string,
  { hook, device, ifindex }: Pick<AttachmentRow, "hook" | "device" | "ifindex">,
): HeldAttachment {
  if (hook === "tc") return HeldAttachment.tc(directory, device, ifindex);
  if (hook === "xdp") return HeldAttachment.pinned([hookPin(directory, device, "xdp")]);
  return HeldAttachment.pinned(
    Object.keys(SOCKET_HOOKS).map((name) => `${directory}/socket-${name}`),
  );
}

/** Puts `what` before the message of an error. */
function explained(what: string, work: () => void): void {
  try {
    work();
  } catch (cause) {
    throw new Error(`${what}: ${(cause as Error).message}`, { cause });
  }
}

/** The pods' devices and the devices with XDP that have pins. Their programs may be older ones. */
function pinnedRows(directory: string): AttachmentRow[] {
  const rows = new Map<string, AttachmentRow>();
  for (const { name } of Deno.readDirSync(directory)) {
    const [, pinned, hook] = /^(.+)-(ingress|xdp)$/.exec(name) ?? [];
    if (pinned === undefined) continue;
    const device = pinned.replaceAll("%", ".");
    if (hook === "ingress" && !HOST_IFNAME.test(device)) continue;
    const row: AttachmentRow = {
      hook: hook === "xdp" ? "xdp" : "tc",
      device,
      ifindex: -1,
      subject: `device ${device}`,
    };
    rows.set(keyOf(row), row);
  }
  return [...rows.values()];
}

/** Programs at their hooks as the kernel's side of a reconciler, held by descriptor. */

import type { Bpffs } from "../../../datapath/bpffs.ts";
import { HeldAttachment, hookPin } from "../../../datapath/held_attachment.ts";
import { type Loader, SOCKET_HOOKS } from "../../../datapath/loader.ts";
import type { XdpChoice, XdpDeviceState } from "../../../datapath/xdp_device.ts";
import { attemptEach } from "../../core/attempt_each.ts";
import type { ApplyResult, Target } from "../../core/reconciler.ts";
import { HOST_IFNAME } from "../endpoints/plumbing.ts";
import type { AttachmentRow } from "./attachment.ts";

/** Options for an {@linkcode AttachmentTarget}. */
export interface AttachmentTargetOptions {
  loader: Loader;
  bpffs: Bpffs;
  cgroup: string;
  xdp: XdpChoice;
  /** Called when it is known where a device runs its XDP program. */
  onXdp: (state: XdpDeviceState) => void;
}

/** See the module. Disposing leaves everything attached. */
export class AttachmentTarget implements Target<AttachmentRow>, Disposable {
  readonly #options: AttachmentTargetOptions;
  readonly #held = new Map<string, { row: AttachmentRow; attachment: HeldAttachment }>();
  /** Left by an earlier agent; taken over or removed by the first pass. */
  #adopted: AttachmentRow[];

  constructor(options: AttachmentTargetOptions) {
    this.#options = options;
    this.#adopted = pinnedRows(options.loader.linkDirectory);
  }

  *read(): Generator<AttachmentRow> {
    yield* this.#adopted;
    this.#adopted = [];
    for (const { row, attachment } of this.#held.values()) {
      if (attachment.intact()) yield row;
    }
  }

  apply(upserts: AttachmentRow[], deletes: AttachmentRow[]): ApplyResult<AttachmentRow> {
    return {
      failed: [
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
      ],
    };
  }

  #attach(row: AttachmentRow): void {
    const { loader, cgroup, xdp, onXdp } = this.#options;
    const { hook, device, ifindex } = row;
    const directory = loader.linkDirectory;
    const key = keyOf(row);
    const before = this.#held.get(key);
    // a link without its pin would be attached a second time
    before?.attachment.repin();
    let attachment: HeldAttachment;
    if (hook === "tc") {
      loader.attachDevice(row.kind!, ifindex, device);
      attachment = HeldAttachment.tc(directory, device, ifindex);
    } else if (hook === "xdp") {
      onXdp(loader.attachXdpDevice(ifindex, device, xdp));
      attachment = HeldAttachment.pinned([hookPin(directory, device, "xdp")]);
    } else {
      loader.attachSockets(cgroup);
      attachment = HeldAttachment.pinned(
        Object.keys(SOCKET_HOOKS).map((name) => `${directory}/socket-${name}`),
      );
    }
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

function keyOf({ hook, device }: AttachmentRow): string {
  return `${hook} ${device}`;
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

/** Attachments held by descriptor: what was attached, and whether it is attached and pinned still. */

import { type Attachment, BpfLink, isPinned, LinkType, openTc } from "./bpf/mod.ts";
import { objectInfo } from "./bpf/info.ts";
import { withExpeditedGracePeriods } from "./rcu.ts";

/** A link or filter as it was when it was attached. */
interface Held {
  attachment: Attachment;
  programId: number;
  /** Undefined for a clsact filter, which has none. */
  pin: string | undefined;
}

/** Where the link of a hook is pinned; bpffs refuses dots in names. */
export function hookPin(directory: string, device: string, hook: string): string {
  return `${directory}/${device.replaceAll(".", "%")}-${hook}`;
}

/** The attachments of one row. Disposing closes the descriptors; what is pinned stays attached. */
export class HeldAttachment implements Disposable {
  readonly #held: Held[];

  private constructor(attachments: readonly Attachment[]) {
    this.#held = attachments.map((attachment) => ({
      attachment,
      programId: attachment.info().programId,
      pin: attachment instanceof BpfLink ? attachment.pinPath : undefined,
    }));
  }

  /** Both tc programs of a device. Throws when one is not there. */
  static tc(directory: string, device: string, ifindex: number): HeldAttachment {
    return new HeldAttachment((["ingress", "egress"] as const).map((direction) => {
      const pin = hookPin(directory, device, direction);
      const attachment = openTc({ ifindex, direction, pin });
      if (!attachment) throw new Error(`Nothing is attached at ${direction} of ${device}`);
      return attachment;
    }));
  }

  /** The links pinned at these paths, those that are there. */
  static pinned(pins: readonly string[]): HeldAttachment {
    return new HeldAttachment(
      pins.map((pin) => BpfLink.tryOpenPinned(pin)).filter((link) => link !== undefined),
    );
  }

  /** How many links and filters there are. */
  get count(): number {
    return this.#held.length;
  }

  /** Whether everything is attached with its program, and pinned. */
  intact(): boolean {
    return this.#held.every((held) => isAttached(held) && hasPin(held));
  }

  /** Gives links that are attached and have lost their pin a new one. */
  repin(): void {
    for (const held of this.#held) {
      if (held.attachment instanceof BpfLink && isAttached(held) && !hasPin(held)) {
        held.attachment.pin(held.pin!);
      }
    }
  }

  /** Takes everything off. */
  detach(): void {
    withExpeditedGracePeriods(() => {
      for (const { attachment } of this.#held) attachment.detach();
    });
    this.#held.length = 0;
  }

  [Symbol.dispose](): void {
    for (const { attachment } of this.#held) attachment[Symbol.dispose]();
    this.#held.length = 0;
  }
}

/** A link whose device or cgroup is gone, or that was detached by force, names none. */
function isAttached({ attachment, programId }: Held): boolean {
  if (!(attachment instanceof BpfLink)) {
    try {
      return attachment.info().programId === programId;
    } catch {
      return false;
    }
  }
  const info = objectInfo(attachment.fd, "link");
  if (info.getUint32(8, true) !== programId) return false;
  return info.getUint32(0, true) === LinkType.CGROUP
    ? info.getBigUint64(16, true) !== 0n
    : info.getUint32(16, true) !== 0;
}

function hasPin({ pin }: Held): boolean {
  return pin === undefined || isPinned(pin);
}

/** A program at a hook, however the kernel holds it. */

import type { BpfProgram } from "../program.ts";

/** A program at a hook. Disposing takes it off, unless it is pinned (or a persistent clsact filter). */
export interface Attachment extends Disposable {
  /** How it is held: a bpf link, or a filter of the clsact qdisc. */
  readonly kind: "link" | "clsact";
  /** Puts another program in its place; no packet sees the hook empty. */
  update(program: BpfProgram): void;
  /** Takes the program off the hook and removes the pin. */
  detach(): void;
  /** What the kernel knows of it now. */
  info(): AttachmentInfo;
}

/** Where a program is. */
export interface AttachmentInfo {
  /** The link's number; 0 for a clsact filter. */
  id: number;
  /** The program's id. */
  programId: number;
  /** The device; 0 where the hook is of none, and for a device that is gone. */
  ifindex: number;
  /** Of a link to a cgroup: its number, as of the directory's inode; 0n when it is gone. */
  cgroupId?: bigint;
  /** One of `LinkType`; 0 for a clsact filter. */
  linkType: number;
  /** One of `AttachType`; 0 where the kind has none, as raw tracepoints. */
  attachType: number;
}

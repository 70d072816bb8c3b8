/** What is attached where: a row for both tc programs of a device, its XDP program, or the sockets' hooks. */

import type { DeviceKind } from "../../../datapath/loader.ts";
import { Table } from "../../core/table.ts";

export interface AttachmentRow {
  hook: "tc" | "xdp" | "sockets";
  /** Which programs; for tc alone. */
  kind?: DeviceKind;
  /** What the pins are called by: the device's name, `tunnel`, or nothing for sockets. */
  device: string;
  /** 0 for sockets. */
  ifindex: number;
  /** What is open without it, such as `pod demo/web`. */
  subject: string;
}

/** A table of attachments by hook and device. */
export function attachmentTable(): Table<AttachmentRow> {
  return new Table({ name: "attachments", key: ({ hook, device }) => `${hook} ${device}` });
}

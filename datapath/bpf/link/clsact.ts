/** Filters of the clsact qdisc: how kernels before tcx (Linux 6.6) run tc programs. */

import { libbpf } from "../ffi/libbpf.ts";
import { ERRNO } from "../kernel_error.ts";
import { AttachType } from "../constants.ts";
import { bpfError, checkBpf } from "../errors.ts";
import type { BpfProgram } from "../program.ts";
import type { Attachment, AttachmentInfo } from "./attachment.ts";

/** Which way the packets of a tc program go. */
export type TcDirection = "ingress" | "egress";

/** Fixed, so that a replacement finds its predecessor. */
const HANDLE = 1, PRIORITY = 1;

/** A tc program as the direct-action filter of a device. */
export class ClsactFilter implements Attachment {
  readonly kind = "clsact";
  readonly #ifindex: number;
  readonly #direction: TcDirection;
  readonly #persistent: boolean;

  constructor(ifindex: number, direction: TcDirection, persistent: boolean) {
    this.#ifindex = ifindex;
    this.#direction = direction;
    this.#persistent = persistent;
  }

  update(program: BpfProgram): void {
    const hook = this.#hook();
    const where = `ifindex ${this.#ifindex}`;
    const created = libbpf.bpf_tc_hook_create(hook);
    if (created < 0 && created !== -ERRNO.EEXIST) {
      throw bpfError(created, "add a clsact qdisc to", where);
    }
    const BPF_TC_F_REPLACE = 1;
    checkBpf(
      libbpf.bpf_tc_attach(hook, filterOptions(program.fd, BPF_TC_F_REPLACE)),
      `attach program ${program.name} by clsact ${this.#direction} to`,
      where,
    );
  }

  exists(): boolean {
    return libbpf.bpf_tc_query(this.#hook(), filterOptions()) >= 0;
  }

  detach(): void {
    const result = libbpf.bpf_tc_detach(this.#hook(), filterOptions());
    const gone = [-ERRNO.ENOENT, -ERRNO.ENODEV, -ERRNO.EINVAL];
    if (result < 0 && !gone.includes(result)) {
      throw bpfError(result, "detach from", `ifindex ${this.#ifindex}`);
    }
  }

  info(): AttachmentInfo {
    const options = filterOptions();
    const result = libbpf.bpf_tc_query(this.#hook(), options);
    checkBpf(result, "query the filter of", `ifindex ${this.#ifindex}`);
    return {
      id: 0,
      linkType: 0,
      programId: new DataView(options.buffer).getUint32(16, true),
      ifindex: this.#ifindex,
      attachType: this.#direction === "ingress" ? AttachType.TCX_INGRESS : AttachType.TCX_EGRESS,
    };
  }

  [Symbol.dispose](): void {
    if (!this.#persistent) this.detach();
  }

  #hook(): Uint8Array<ArrayBuffer> {
    const BPF_TC_INGRESS = 1, BPF_TC_EGRESS = 2;
    const hook = new DataView(new ArrayBuffer(24)); // struct bpf_tc_hook
    hook.setBigUint64(0, 24n, true);
    hook.setInt32(8, this.#ifindex, true);
    hook.setUint32(12, this.#direction === "ingress" ? BPF_TC_INGRESS : BPF_TC_EGRESS, true);
    return new Uint8Array(hook.buffer);
  }
}

function filterOptions(programFd = 0, flags = 0): Uint8Array<ArrayBuffer> {
  const options = new DataView(new ArrayBuffer(32)); // struct bpf_tc_opts
  options.setBigUint64(0, 32n, true);
  options.setInt32(8, programFd, true);
  options.setUint32(12, flags, true);
  options.setUint32(20, HANDLE, true);
  options.setUint32(24, PRIORITY, true);
  return new Uint8Array(options.buffer);
}

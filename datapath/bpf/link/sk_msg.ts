/** SK_MSG programs on maps of sockets. */

import { libbpf } from "../ffi/libbpf.ts";
import { AttachType } from "../constants.ts";
import { checkBpf } from "../errors.ts";
import type { BpfMap } from "../map.ts";
import { type BpfProgram, requireType } from "../program.ts";

/** Makes `program` (SK_MSG) judge what the sockets of a SOCKMAP or SOCKHASH send, those to come. */
export function attachVerdict(program: BpfProgram, map: BpfMap): void {
  requireType(program, "SK_MSG");
  const result = libbpf.bpf_prog_attach(program.fd, map.fd, AttachType.SK_MSG_VERDICT, 0);
  checkBpf(result, `attach program ${program.name} to map`, map.name);
}

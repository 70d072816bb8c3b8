/** SK_SKB programs on maps of sockets. */

import { libbpf } from "../ffi/libbpf.ts";
import { AttachType } from "../constants.ts";
import { checkBpf } from "../errors.ts";
import type { BpfMap } from "../map.ts";
import { type BpfProgram, requireType } from "../program.ts";

/** What a program of a map of sockets does with what they receive. */
export type StreamPart = "parser" | "verdict";

const TYPES = {
  parser: AttachType.SK_SKB_STREAM_PARSER,
  verdict: AttachType.SK_SKB_STREAM_VERDICT,
} as const;

/** Makes `program` (SK_SKB) part of a SOCKMAP or SOCKHASH, until `detachStream`. Throws KernelError. */
export function attachStream(program: BpfProgram, map: BpfMap, part: StreamPart): void {
  requireType(program, "SK_SKB");
  const result = libbpf.bpf_prog_attach(program.fd, map.fd, TYPES[part], 0);
  checkBpf(result, `attach program ${program.name} as stream ${part} to map`, map.name);
}

/** Takes it off. Throws KernelError ENOENT when it is not there. */
export function detachStream(program: BpfProgram, map: BpfMap, part: StreamPart): void {
  const result = libbpf.bpf_prog_detach2(program.fd, map.fd, TYPES[part]);
  checkBpf(result, `detach program ${program.name} as stream ${part} from map`, map.name);
}

/**
 * eBPF for Deno: load objects, attach programs, read and write maps, drain ring buffers. Needs root
 * (or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON), libbpf 1.1 or later and `--allow-ffi --allow-read`.
 * All calls are synchronous but `RingBuffer.wait`; failures are `KernelError`s; what holds a
 * descriptor is disposable.
 *
 * ```ts
 * import { attachTc, BpfObject, RingBuffer, TypedMap, u32, u64 } from "./mod.ts";
 *
 * using object = BpfObject.open("count.bpf.o");
 * object.setConstants({ limit: 100 }); // volatile const, by name
 * object.setMaxEntries("counters", 4096);
 * object.pinMaps("/sys/fs/bpf/count"); // those with LIBBPF_PIN_BY_NAME; shared when there
 * object.setAutoload(["count_ingress"]);
 * object.load();
 *
 * using program = object.program("count_ingress");
 * const pin = "/sys/fs/bpf/count/link";
 * using link = attachTc(program, { ifindex: 2, direction: "ingress", pin });
 *
 * using counters = new TypedMap(object.map("counters"), { key: u32, value: u64 });
 * for (const [key, value] of counters.entries()) console.log(key, value);
 *
 * using ring = new RingBuffer(object.map("events"));
 * for (;;) {
 *   await ring.wait(1000);
 *   ring.drain((view, offset, length) => console.log(length, view.getUint32(offset, true)));
 * }
 * ```
 *
 * With `pin`, attachTc, attachXdp and attachCgroup replace the program of the link that is pinned
 * there already, so that the same call is first start, restart and upgrade.
 *
 * @module
 */

export {
  ERRNO,
  type ErrnoName,
  isErrno,
  KernelError,
  type KernelErrorOptions,
} from "./kernel_error.ts";
export * from "./btf.ts";
export * from "./btf_types.ts";
export * from "./btf_value.ts";
export * from "./codec.ts";
export * from "./constants.ts";
export * from "./features.ts";
export { enableStatistics, type IdKind, kernelIds, programsAt } from "./ids.ts";
export * from "./link/attachment.ts";
export * from "./link/cgroup.ts";
export type { TcDirection } from "./link/clsact.ts";
export * from "./link/iter.ts";
export * from "./link/kprobe.ts";
export { BpfLink } from "./link/link.ts";
export * from "./link/netfilter.ts";
export * from "./link/netkit.ts";
export * from "./link/netns.ts";
export * from "./link/perf_event.ts";
export * from "./link/raw_tracepoint.ts";
export * from "./link/sk_msg.ts";
export * from "./link/sk_skb.ts";
export * from "./link/socket_filter.ts";
export * from "./link/tc.ts";
export * from "./link/tracepoint.ts";
export * from "./link/tracing.ts";
export * from "./link/uprobe.ts";
export { type AttachUsdtOptions, UsdtLink } from "./link/usdt.ts";
export * from "./link/xdp.ts";
export type { MapOptions } from "./create_map.ts";
export * from "./map.ts";
export * from "./map_fingerprint.ts";
export * from "./map_layout.ts";
export * from "./map_memory.ts";
export * from "./object.ts";
export { DEFAULT_BPFFS, isBpffs, isPinned, makePinDirectory, requireBpffs, unpin } from "./pin.ts";
export * from "./perf_event_array.ts";
export * from "./program.ts";
export * from "./ringbuf.ts";
export * from "./typed_map.ts";
export * from "./user_ringbuf.ts";
export { BpfVariable, type TypedVariable } from "./variable.ts";

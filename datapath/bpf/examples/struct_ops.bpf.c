// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// A congestion control that keeps every window as it is, and counts what was acknowledged.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct tcp_congestion_ops {
	__u32 (*ssthresh)(void *sk);
	__u32 (*undo_cwnd)(void *sk);
	void (*cong_avoid)(void *sk, __u32 ack, __u32 acked);
	char name[16];
};

__u64 acknowledged;

SEC("struct_ops/ssthresh")
__u32 ssthresh(__u64 *ctx)
{
	return 10;
}

SEC("struct_ops/undo_cwnd")
__u32 undo_cwnd(__u64 *ctx)
{
	return 10;
}

SEC("struct_ops/cong_avoid")
void cong_avoid(__u64 *ctx)
{
	__sync_fetch_and_add(&acknowledged, ctx[2]);
}

SEC(".struct_ops")
struct tcp_congestion_ops steady = {
    .ssthresh = (void *)ssthresh,
    .undo_cwnd = (void *)undo_cwnd,
    .cong_avoid = (void *)cong_avoid,
    .name = "steady",
};

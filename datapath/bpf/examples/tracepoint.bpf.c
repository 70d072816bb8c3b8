// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Counts context switches.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

__u64 switches;

SEC("tracepoint/sched/sched_switch")
int count(void *ctx)
{
	__sync_fetch_and_add(&switches, 1);
	return 0;
}

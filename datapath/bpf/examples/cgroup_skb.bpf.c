// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Counts the packets that processes of a cgroup send.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

__u64 packets;

SEC("cgroup_skb/egress")
int count(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&packets, 1);
	return 1;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Counts the bytes that a device receives and sends.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

__u64 received, sent;

SEC("tc")
int ingress(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&received, skb->len);
	return -1; /* TCX_NEXT: whatever comes next decides */
}

SEC("tc")
int egress(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&sent, skb->len);
	return -1; /* TCX_NEXT: whatever comes next decides */
}

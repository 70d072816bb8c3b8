// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// A program that the verifier refuses: it reads the packet without a bounds check.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

SEC("tc")
int fine(struct __sk_buff *skb)
{
	return 0;
}

SEC("tc")
int out_of_bounds(struct __sk_buff *skb)
{
	return *(__u8 *)(long)skb->data;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Counts connections that are begun.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

__u64 connections;

SEC("fentry/tcp_v4_connect")
int count(void *ctx)
{
	__sync_fetch_and_add(&connections, 1);
	return 0;
}

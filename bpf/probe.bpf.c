// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Run once at start: redirects messages between two sockets; see datapath/sockmap.ts. */
#include "lib/common.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} probe_sockets SEC(".maps");

SEC("sk_msg")
int probe_redirect(struct sk_msg_md *msg)
{
	__u32 receiver = 1;

	bpf_msg_redirect_hash(msg, &probe_sockets, &receiver, BPF_F_INGRESS);
	return SK_PASS;
}

char _license[] SEC("license") = "GPL";

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Closes a port, whoever listens there.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

const volatile __u32 closed;
__u64 refused;

SEC("sk_lookup")
int choose(struct bpf_sk_lookup *ctx)
{
	if (ctx->local_port != closed)
		return SK_PASS;
	__sync_fetch_and_add(&refused, 1);
	return SK_DROP;
}

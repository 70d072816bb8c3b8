// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Counts calls of a probe that a program has built in, and keeps its argument.
#include <linux/ptrace.h>
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/usdt.bpf.h>

char _license[] SEC("license") = "GPL";

__u64 calls, cookie;
__s64 last;

SEC("usdt")
int on_probe(struct pt_regs *ctx)
{
	long value = 0;

	if (bpf_usdt_arg(ctx, 0, &value) == 0)
		last = value;
	cookie = bpf_usdt_cookie(ctx);
	calls++;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Counts what a function of a library gives back: nothing, or something.
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

__u64 found, missing;

SEC("uretprobe")
int count(struct pt_regs *ctx)
{
	__sync_fetch_and_add(PT_REGS_RC(ctx) ? &found : &missing, 1);
	return 0;
}

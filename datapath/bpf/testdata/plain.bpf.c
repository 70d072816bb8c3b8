// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// A program without maps, compiled without BTF.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

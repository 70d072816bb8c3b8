// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Counts the packets that a device receives, by EtherType.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, __u16);
	__type(value, __u64);
} packets SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	__u64 one = 1, *known;
	__u16 type;

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	type = bpf_ntohs(ethernet->h_proto);
	known = bpf_map_lookup_elem(&packets, &type);
	if (known)
		*known += 1;
	else
		bpf_map_update_elem(&packets, &type, &one, BPF_NOEXIST);
	return XDP_PASS;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Where a backend is on the links of the node: asked of the route table once a second. */
#pragma once
#include "common.h"
#include "nat.h"
#include "service.h"

inline_always bool next_hop_is_fresh(const struct backend *b)
{
	return bpf_ktime_get_coarse_ns() - b->hop.resolved < NS_PER_SECOND;
}

/*
 * Asks the route and neighbour tables. Returns 0, or -1 when they have no answer that XDP can use:
 * then the stack looks for the neighbour.
 */
__noinline int find_next_hop(CONTEXT *ctx, __u32 row, __u32 family)
{
	struct backend *b = bpf_map_lookup_elem(&pilus_backends, &row);
	struct bpf_fib_lookup fib = {};
	__u32 ifindex;

	if (!b)
		return -1;
	fib.ifindex = CONTEXT_IFINDEX(ctx);
	fib.l4_protocol = IPPROTO_TCP;
	fib.tot_len = sizeof(struct ipv6hdr);
	if (family == 4) {
		fib.family = 2; /* AF_INET */
		fib.ipv4_dst = WORD(&b->address, 3);
	} else {
		fib.family = 10; /* AF_INET6 */
		__builtin_memcpy(fib.ipv6_dst, b->address.bytes, 16);
	}
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return -1;
	ifindex = fib.ifindex;
	/* a device without our program may not send what XDP hands it */
	if (!bpf_map_lookup_elem(&pilus_devices, &ifindex))
		return -1;
	__builtin_memcpy(b->hop.next_mac, fib.dmac, 6);
	__builtin_memcpy(b->hop.own_mac, fib.smac, 6);
	b->hop.ifindex = ifindex;
	b->hop.mtu = fib.mtu_result;
	b->hop.resolved = bpf_ktime_get_coarse_ns();
	return 0;
}

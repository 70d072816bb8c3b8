// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The next hop to a backend, looked up in the route table once a second. */
#pragma once
#include "common.h"
#include "nat.h"
#include "service.h"

static __always_inline bool next_hop_is_fresh(const struct backend *b)
{
	return bpf_ktime_get_coarse_ns() - b->hop.resolved < NS_PER_SECOND;
}

/*
 * Asks the rules, routes and neighbours of the stack for what leaves from `from`, as it does
 * itself. Returns 0, or -1 when they have no answer that XDP can use: then the stack looks for the
 * neighbour.
 */
__noinline int look_up_next_hop(CONTEXT *ctx, const struct address *from, const struct address *to,
				struct next_hop *hop)
{
	struct bpf_fib_lookup fib = {};
	__u32 ifindex;

	if (!from || !to || !hop)
		return -1;
	fib.ifindex = CONTEXT_IFINDEX(ctx);
	fib.l4_protocol = IPPROTO_TCP;
	fib.tot_len = sizeof(struct ipv6hdr);
	if (address_is_v4(to)) {
		fib.family = 2; /* AF_INET */
		fib.ipv4_src = WORD(from, 3);
		fib.ipv4_dst = WORD(to, 3);
	} else {
		fib.family = 10; /* AF_INET6 */
		__builtin_memcpy(fib.ipv6_src, from->bytes, 16);
		__builtin_memcpy(fib.ipv6_dst, to->bytes, 16);
	}
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return -1;
	ifindex = fib.ifindex;
	/* a device without our program may not send what XDP hands it */
	if (!device_by_ifindex(ifindex))
		return -1;
	__builtin_memcpy(hop->next_mac, fib.dmac, 6);
	__builtin_memcpy(hop->own_mac, fib.smac, 6);
	hop->ifindex = ifindex;
	hop->mtu = fib.mtu_result;
	return 0;
}

/* Renews what a backend's row knows. Returns 0, or -1 as look_up_next_hop(). */
static __always_inline int find_next_hop(CONTEXT *ctx, const struct address *own, struct backend *b)
{
	struct address from = *own, to = b->address;

	if (next_hop_is_fresh(b))
		return 0;
	if (look_up_next_hop(ctx, &from, &to, &b->hop))
		return -1;
	b->hop.resolved = bpf_ktime_get_coarse_ns();
	return 0;
}

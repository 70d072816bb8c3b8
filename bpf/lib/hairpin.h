// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * A pod that reaches itself through a service: stacks drop packets from their own address, so the
 * source is rewritten to a reserved one (skb only).
 */
#pragma once
#include "endpoint.h"
#include "parse.h"
#include "rewrite.h"

#define HAIRPIN_V4 0xa9fe2a01		 /* 169.254.42.1, as Cilium's */
#define HAIRPIN_V6 0xfd70696c75730001ULL /* fd70:696c:7573:1::1 */

static __always_inline bool is_hairpin(const struct address *a)
{
	if (address_is_v4(a))
		return WORD(a, 3) == bpf_htonl(HAIRPIN_V4);
	return HALF(a, 0) == bpf_cpu_to_be64(HAIRPIN_V6) && HALF(a, 1) == bpf_cpu_to_be64(1);
}

static __always_inline int hide_behind_hairpin(struct __sk_buff *skb, struct packet *p)
{
	struct address a;

	if (p->family == 4) {
		address_from_v4(&a, bpf_htonl(HAIRPIN_V4));
	} else {
		HALF(&a, 0) = bpf_cpu_to_be64(HAIRPIN_V6);
		HALF(&a, 1) = bpf_cpu_to_be64(1);
	}
	return rewrite(skb, p, REWRITE_SOURCE, &a, p->tuple.source_port);
}

/* The reply back to the pod. */
static __always_inline int return_from_hairpin(struct __sk_buff *skb, struct packet *p,
					       const struct endpoint *ep)
{
	struct address own = p->family == 4 ? ep->ipv4 : ep->ipv6;

	return rewrite(skb, p, REWRITE_DESTINATION, &own, p->tuple.destination_port);
}

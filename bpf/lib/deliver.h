// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The ways out: into an endpoint, along a route. */
#pragma once
#include "common.h"
#include "config.h"
#include "endpoint.h"
#include "ipcache.h"
#include "parse.h"
#include "reasons.h"

#define AF_INET  2
#define AF_INET6 10

/* Straight into the pod, past the host's stack: one scheduling of the receiver. */
inline_always int deliver_to_endpoint(struct __sk_buff *skb, const struct endpoint *ep)
{
	struct {
		__u8 destination[6];
		__u8 source[6];
	} ethernet;

	__builtin_memcpy(ethernet.destination, ep->mac, 6);
	__builtin_memcpy(ethernet.source, ep->host_mac, 6);
	bpf_skb_store_bytes(skb, 0, &ethernet, sizeof(ethernet), 0);
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(ep->ifindex, 0);
}

/* A router's duty (RFC 1812 5.3.1). The caller has seen that the TTL is greater than 1. */
inline_always int decrement_ttl(struct __sk_buff *skb, const struct packet *p)
{
	__u8 ttl = p->ttl - 1;

	if (p->family == 6)
		return bpf_skb_store_bytes(skb, p->l3 + offsetof(struct ipv6hdr, hop_limit), &ttl,
					   1, 0) ? DROP(WRITE_ERROR) : 0;
	if (bpf_l3_csum_replace(skb, p->l3 + offsetof(struct iphdr, check), bpf_htons(p->ttl << 8),
				bpf_htons(ttl << 8), 2) ||
	    bpf_skb_store_bytes(skb, p->l3 + offsetof(struct iphdr, ttl), &ttl, 1, 0))
		return DROP(WRITE_ERROR);
	return 0;
}

/*
 * Along the node's routes without its stack. What the route table does not answer with a next hop
 * goes to the stack after all: addresses of the node, ICMP errors for unreachable or too big.
 */
__noinline int deliver_by_route(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_fib_lookup fib = {};
	struct bpf_redir_neigh next = {};
	long err;

	if (!p || p->ttl <= 1)
		return TC_ACT_OK;
	fib.ifindex = skb->ifindex;
	fib.l4_protocol = p->tuple.protocol;
	fib.sport = p->tuple.source_port;
	fib.dport = p->tuple.destination_port;
	if (p->family == 4) {
		fib.family = AF_INET;
		fib.ipv4_src = WORD(&p->tuple.source, 3);
		fib.ipv4_dst = WORD(&p->tuple.destination, 3);
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, p->tuple.source.bytes, 16);
		__builtin_memcpy(fib.ipv6_dst, p->tuple.destination.bytes, 16);
	}
	err = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (err != BPF_FIB_LKUP_RET_SUCCESS && err != BPF_FIB_LKUP_RET_NO_NEIGH)
		return TC_ACT_OK;
	err = decrement_ttl(skb, p);
	if (err)
		return err;
	next.nh_family = fib.family;
	__builtin_memcpy(next.ipv6_nh, fib.ipv6_dst, 16);
	return bpf_redirect_neigh(fib.ifindex, &next, sizeof(next), 0);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Forwarding: into an endpoint, along a route. */
#pragma once
#include "common.h"
#include "config.h"
#include "endpoint.h"
#include "ipcache.h"
#include "parse.h"
#include "reasons.h"

#define AF_INET	 2
#define AF_INET6 10

#define ROUTES_BITS 9
#define ROUTES	    (1 << ROUTES_BITS)
#define ROUTE_NS    (NS_PER_SECOND / 10) /* how long an answer of the route table holds */

/* Into the pod's network namespace, bypassing the host's stack. */
static __always_inline int forward_to_endpoint(struct __sk_buff *skb, const struct endpoint *ep)
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

/* RFC 1812 5.3.1. The caller has checked that the TTL is greater than 1. */
static __always_inline int decrement_ttl(struct __sk_buff *skb, const struct packet *p)
{
	/* of IPv4 from the TTL to the checksum (RFC 1624), of IPv6 the hop limit alone */
	__u8 changed[4] = {p->ttl - 1};
	__u32 at = p->l3 + offsetof(struct ipv6hdr, hop_limit), length = 1, sum;
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;

	if (p->family == 4) {
		if (p->l3 != ETH_HLEN || (void *)(ip + 1) > (void *)(long)skb->data_end)
			return DROP(WRITE_ERROR);
		at = ETH_HLEN + offsetof(struct iphdr, ttl);
		length = sizeof(changed);
		changed[1] = ip->protocol;
		sum = ip->check + bpf_htons(0x0100);
		*(__u16 *)&changed[2] = sum + (sum >> 16);
	}
	return bpf_skb_store_bytes(skb, at, changed, length, 0) ? DROP(WRITE_ERROR) : 0;
}

/* The cached route of a flow. */
struct route {
	struct tuple flow;
	__u64 expires;	      /* CLOCK_MONOTONIC, ns */
	__u32 source_ifindex; /* where the flow comes from */
	__u32 ifindex;	      /* where it goes */
	__u32 family;	      /* AF_*, of the next hop */
	__u8 next_hop[16];
	__u32 pad;
};

/* Route cache per CPU: one row per hash, valid for a tenth of a second. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROUTES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct route);
} pilus_routes SEC(".maps");

static __always_inline bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	return address_equal(&a->source, &b->source) &&
	       address_equal(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       a->protocol == b->protocol;
}

/* The stack has the answer: an unreachable or prohibited route, an MTU. */
#define ROUTE_BY_STACK -1
/* The stack would take the packet as its own, or has no route. */
#define ROUTE_LOCAL -2

/* Looks up the route. Returns 0 with the row filled, ROUTE_BY_STACK or ROUTE_LOCAL. */
__noinline int find_route(struct __sk_buff *skb, const struct packet *p, struct route *row)
{
	struct bpf_fib_lookup fib = {};
	long err;

	if (!p || !row)
		return ROUTE_BY_STACK;
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
	row->expires = 0;
	err = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	/* without forwarding, too, the stack would take but what is its own */
	if (err == BPF_FIB_LKUP_RET_NOT_FWDED || err == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return ROUTE_LOCAL;
	if (err != BPF_FIB_LKUP_RET_SUCCESS && err != BPF_FIB_LKUP_RET_NO_NEIGH)
		return ROUTE_BY_STACK;
	row->flow = p->tuple;
	row->source_ifindex = skb->ifindex;
	row->ifindex = fib.ifindex;
	row->family = fib.family;
	__builtin_memcpy(row->next_hop, fib.ipv6_dst, 16);
	row->expires = bpf_ktime_get_coarse_ns() + ROUTE_NS;
	return 0;
}

/*
 * Forwards along the node's routes, bypassing its stack. Returns the verdict or a negative drop
 * reason. The stack gets what needs an ICMP error: TTL exceeded, unreachable, too big. It never
 * gets what it would deliver to the node itself: the caller has judged the packet by an address
 * that is not the node's.
 */
__noinline int forward_by_route(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_redir_neigh next;
	struct route *row;
	__u32 slot;
	int err;

	if (!p)
		return DROP(UNROUTABLE);
	slot = tuple_spread(&p->tuple) >> (32 - ROUTES_BITS);
	row = bpf_map_lookup_elem(&pilus_routes, &slot);
	if (!row)
		return DROP(UNROUTABLE);
	if (row->expires < bpf_ktime_get_coarse_ns() || row->source_ifindex != skb->ifindex ||
	    !tuple_equal(&row->flow, &p->tuple)) {
		err = find_route(skb, p, row);
		if (err)
			return err == ROUTE_LOCAL ? DROP(UNROUTABLE) : TC_ACT_OK;
	}
	if (p->ttl <= 1)
		return TC_ACT_OK;
	err = decrement_ttl(skb, p);
	if (err)
		return err;
	next.nh_family = row->family;
	__builtin_memcpy(next.ipv6_nh, row->next_hop, 16);
	return bpf_redirect_neigh(row->ifindex, &next, sizeof(next), 0);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Packets of external clients to a service: backends on other nodes and on this host (skb only). */
#pragma once
#include "forward.h"
#include "dsr.h"
#include "next_hop.h"
#include "node.h"
#include "reject.h"
#include "service_dnat.h"
#include "split.h"
#include "tunnel.h"

/* A translated packet cannot take the stack, which may own its source address. */
static __always_inline int route_translated(struct __sk_buff *skb, const struct packet *p)
{
	int verdict = forward_by_route(skb, p);

	return verdict == TC_ACT_OK ? DROP(FIB_LOOKUP_FAILED) : verdict;
}

/*
 * Bytes of the IP packet, or of each that its segments become; 0: TCP's segments, which become
 * smaller with what is added.
 */
static __always_inline __u32 wire_length(const struct __sk_buff *skb, const struct packet *p)
{
	if (!skb->gso_segs)
		return skb->len - ETH_HLEN;
	if (p->tuple.protocol != IPPROTO_UDP)
		return 0;
	return p->l4 - p->l3 + sizeof(struct udphdr) + skb->gso_size;
}

/* The path MTU to the backend when the packet with `more` bytes exceeds it, else 0. */
__noinline int exceeded_mtu(struct __sk_buff *skb, const struct packet *p,
			    const struct address *own, __u32 more)
{
	struct scratch *t = this_scratch();
	struct backend *b;
	__u32 row, mtu = 0, ifindex = tunnel_ifindex, length;

	if (!p || !t || !own)
		return 0;
	if (!(t->backend & BACKEND_TUNNEL)) {
		row = t->row;
		b = bpf_map_lookup_elem(&pilus_backends, &row);
		if (!b || find_next_hop(skb, own, b))
			return 0;
		ifindex = b->hop.ifindex;
		length = wire_length(skb, p);
		if (b->hop.mtu && length && length + more > b->hop.mtu)
			return b->hop.mtu - more;
	}
	if (bpf_check_mtu(skb, ifindex, &mtu, more, 0) != BPF_MTU_CHK_RET_FRAG_NEEDED)
		return 0;
	return mtu - more;
}

/* Whether those on the way may fragment it (RFC 791 3.1). */
static __always_inline bool may_be_fragmented(struct __sk_buff *skb, const struct packet *p)
{
	__be16 fragment;

	return p->family == 4 &&
	       !bpf_skb_load_bytes(skb, p->l3 + offsetof(struct iphdr, frag_off), &fragment, 2) &&
	       !(bpf_ntohs(fragment) & IP_DONT_FRAGMENT);
}

/* Through the tunnel to the backend's node. Returns the TC verdict or a negative drop reason. */
__noinline int forward_to_backend_node(struct __sk_buff *skb, const struct packet *p)
{
	struct scratch *t = this_scratch();
	struct ipcache_entry *to;
	struct address client;
	__u32 identity;

	if (!p || !t)
		return DROP(NO_TUNNEL_ENDPOINT);
	to = ipcache_exact(&t->target.address);
	if (!to || !(to->flags & IPCACHE_TUNNEL))
		return DROP(NO_TUNNEL_ENDPOINT);
	client = t->flow.tuple.source;
	identity = other_node(&client) ? IDENTITY_REMOTE_NODE : IDENTITY_WORLD;
	return forward_by_tunnel(skb, p, identity, &to->node);
}

/* Returns the TC verdict or a negative drop reason. */
__noinline int nodeport_to_remote(struct __sk_buff *skb, struct packet *p)
{
	struct scratch *t = this_scratch();
	struct node *node = this_node();
	struct address own, backend;
	__u32 mode, more = 0;
	int err, mtu;
	bool tunnel;

	if (!p || !t || !node)
		return DROP(SERVICE_BACKEND_NOT_FOUND);
	if (p->ttl <= 1)
		return DROP(TTL_EXCEEDED);
	tunnel = t->backend & BACKEND_TUNNEL;
	backend = t->target.address;
	if (tunnel)
		own = p->family == 4 ? node->router_ipv4 : node->router_ipv6;
	else
		own = p->family == 4 ? node->ipv4 : node->ipv6;
	if (HALF(&own, 0) == 0 && HALF(&own, 1) == 0)
		return DROP(NO_NAT_MAPPING);
	mode = tunnel ? 0 : t->flags & (SERVICE_DSR_IPIP | SERVICE_DSR_OPTION);
	if (mode == SERVICE_DSR_IPIP)
		more = p->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	else if (mode == SERVICE_DSR_OPTION &&
		 (p->tuple.protocol == IPPROTO_UDP || tcp_begins(p->tcp_flags)))
		more = OPTION_LENGTH(p->family);
	mtu = exceeded_mtu(skb, p, &own, more);
	/* the tunnel's device fragments its own packets */
	if (mtu > 0 && !(tunnel ? may_be_fragmented(skb, p) : split_packet(skb, p, mtu))) {
		count(REASON_FRAGMENTATION_NEEDED, METRIC_INGRESS, skb->len);
		return reject_too_big(skb, p, mtu);
	}
	if (mode == SERVICE_DSR_IPIP) {
		err = dsr_encap_ip(skb, p, &own, &backend);
		return err ? err : route_translated(skb, p);
	}
	if (!mode) {
		err = nat_translate(skb, p, &own);
		if (err)
			return err;
	}
	err = translate_destination(skb, p, &t->target);
	if (err)
		return err;
	if (more) {
		err = dsr_add_option(skb, p);
		if (err)
			return err;
	}
	if (!tunnel)
		return route_translated(skb, p);
	err = decrement_ttl(skb, p);
	return err ? err : forward_to_backend_node(skb, p);
}

/* A backend on this host: delivered by the stack, whose replies pass to_netdev(). */
__noinline int nodeport_to_host(struct __sk_buff *skb, struct packet *p)
{
	struct scratch *t = this_scratch();
	struct address client;
	int err;

	if (!p || !t)
		return DROP(SERVICE_BACKEND_NOT_FOUND);
	client = p->tuple.source;
	if (!(p->flags & PACKET_ICMP_ERROR)) {
		/* the address is kept; the mapping serves the reply direction */
		err = nat_translate(skb, p, &client);
		if (err)
			return err;
	}
	err = translate_destination(skb, p, &t->target);
	return err ? err : TC_ACT_OK;
}

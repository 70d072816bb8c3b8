// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The first step of a packet from a pod: its sender, its headers, and whether it may be forwarded
 * at all. */
#pragma once
#include "fragment.h"
#include "fragment_order.h"
#include "hairpin.h"
#include "neighbour.h"
#include "parse_skb.h"
#include "pod_egress.h"

/* Counts a packet that pods send to their link only. */
static __always_inline int ignore(struct __sk_buff *skb, struct pod_egress *e)
{
	count(REASON_IGNORED_MULTICAST, METRIC_EGRESS, skb->len);
	return step_done(e, TC_ACT_SHOT);
}

/* Whether the packet goes no farther than the pod's link. */
static __always_inline bool is_of_link(const struct packet *p)
{
	return address_is_multicast(&p->tuple.destination) ||
	       address_is_link_local(&p->tuple.source) ||
	       address_is_link_local(&p->tuple.destination);
}

/*
 * A message of neighbour discovery: a question is answered. The node asks nothing, as its neighbour
 * entries of pods are permanent, and its stack would forward an answer that is to somebody else.
 */
static __always_inline int discover(struct __sk_buff *skb, struct packet *p, struct pod_egress *e)
{
	int verdict;

	if (p->ttl != ND_HOP_LIMIT)
		return DROP(NEIGHBOUR_DISCOVERY_FROM_AFAR);
	if (!address_is_link_local(&p->tuple.source) &&
	    !address_equal(&p->tuple.source, &e->ep->ipv6))
		return DROP(INVALID_SOURCE_IP);
	if (p->icmp_type != ND_NEIGHBOUR_SOLICITATION)
		return ignore(skb, e);
	verdict = answer_neighbour(skb, p);
	return verdict < 0 ? verdict : step_done(e, verdict);
}

/* Answers ARP and neighbour discovery, parses, verifies the source address. */
static __always_inline int classify(struct __sk_buff *skb, struct packet *p,
				    struct event_context *c, struct pod_egress *e)
{
	struct endpoint *ep = endpoint_by_ifindex(skb->ifindex);
	int err;

	if (!ep)
		return DROP(NO_ENDPOINT);
	e->ep = ep;
	e->ends.source = ep;
	c->endpoint = ep->id;
	c->source_identity = e->ends.source_identity = ep->identity;
	/* a pod has no say in the node's VLANs */
	if (skb->vlan_present)
		return DROP(VLAN_FILTERED);

	if (skb->protocol == bpf_htons(ETH_P_ARP)) {
		err = answer_arp(skb);
		return err < 0 ? err : step_done(e, err);
	}
	err = parse_frame(skb, p);
	if (err)
		return err > 0 ? DROP(UNSUPPORTED_L3) : err;
	if (is_neighbour_discovery(p))
		return discover(skb, p, e);
	if (unlikely(!address_equal(&p->tuple.source, p->family == 4 ? &ep->ipv4 : &ep->ipv6)))
		return is_of_link(p) ? ignore(skb, e) : DROP(INVALID_SOURCE_IP);
	if (unlikely(address_is_special(&p->tuple.destination))) {
		if (is_of_link(p))
			return ignore(skb, e);
		/* the node's own, which route_localnet would let in */
		if (address_is_loopback(&p->tuple.destination))
			return DROP(UNROUTABLE);
	}
	e->hairpin = is_hairpin(&p->tuple.destination);
	if (unlikely(p->flags & PACKET_FRAGMENT) &&
	    order_fragment(skb, p, ep->ifindex, METRIC_EGRESS) != FRAGMENT_GOES_ON)
		return step_done(e, TC_ACT_SHOT);
	return fragment_track(p, ep->ifindex);
}

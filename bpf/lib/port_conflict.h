// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * A client may use one source port towards two services that select the same backend, where both
 * connections would have the same tuple. The later one gets another source port (skb only).
 */
#pragma once
#include "conntrack.h"
#include "snat.h"

/* Allocates another source port for a flow that keeps its address, network order, or returns a
 * negative drop reason. */
static __always_inline int allocate_port(const struct flow *f, const struct target *t,
					 const struct address *own)
{
	__u32 hash = flow_hash(&f->tuple, false);

	for (__u32 i = 1; i < NAT_TRIES; i++) {
		__u16 port = nat_candidate(f, hash, i);
		int err;

		if (nat_claim(f, t, own, port, false))
			continue;
		err = nat_allocate(f, t, own, port);
		if (err)
			return err < 0 ? err : port;
	}
	return DROP(NO_NAT_MAPPING);
}

/*
 * Gives the sender of a translated packet another port. With `existing` only when it has one
 * already. Returns 1, 0 when it keeps its own, or a negative drop reason.
 */
__noinline int remap_port(struct __sk_buff *skb, struct packet *p, int existing)
{
	struct scratch *t = this_scratch();
	int port, err;

	if (!p || !t)
		return DROP(NO_NAT_MAPPING);
	flow_of(&t->flow, p);
	if (endpoint_by_ifindex(skb->ifindex))
		t->flow.owner = skb->ifindex & (SHARE_OWNERS - 1);
	t->flow.tuple.destination = p->inner.destination;
	t->flow.tuple.destination_port = p->inner.destination_port;
	t->target.address = p->tuple.destination;
	t->target.port = p->tuple.destination_port;
	port = nat_find_remapped(&t->flow, &t->target, &t->flow.tuple.source);
	if (!port && existing)
		return 0;
	if (!port)
		port = allocate_port(&t->flow, &t->target, &t->flow.tuple.source);
	if (port < 0)
		return port;
	err = rewrite(skb, p, REWRITE_SOURCE, &t->flow.tuple.source, port);
	if (err)
		return err;
	p->flags |= PACKET_REMAPPED;
	return 1;
}

/*
 * Sees that a translated packet of the initiator belongs to `e`, its row, or to none. Returns 0
 * when it does, 1 when the packet has another port now and so another row, or a negative drop
 * reason.
 */
static __always_inline int resolve_port_conflict(struct __sk_buff *skb, struct packet *p,
						 struct ct_entry *e)
{
	bool tcp = p->tuple.protocol == IPPROTO_TCP, begins = tcp_begins(p->tcp_flags);

	if (!e) /* a connection that goes on may have had its port from long ago */
		return tcp && !begins && !(p->flags & PACKET_REMAPPED) ? remap_port(skb, p, true)
								       : 0;
	if (likely(ct_is_same_service(e, p)))
		return 0;
	if (p->flags & PACKET_REMAPPED) /* the new port conflicts too */
		return DROP(NO_NAT_MAPPING);
	if (!tcp || !has_options(p))
		return remap_port(skb, p, false);
	/* only the first packet has an option: later packets are indistinguishable */
	if (begins) {
		e->flags = (e->flags | CT_SERVICE) & ~CT_REMAPPED;
		e->frontend = p->inner.destination;
		e->frontend_port = p->inner.destination_port;
	}
	return 0;
}

/* The same for the packet that an error quotes, before its backend is written. */
static __always_inline int remap_quoted_port(struct __sk_buff *skb, struct packet *p,
					     const struct target *to)
{
	struct scratch *t = this_scratch();
	int port;

	if (!t)
		return DROP(NO_NAT_MAPPING);
	flow_against_quote(&t->flow, p);
	t->target = *to;
	port = nat_find_remapped(&t->flow, &t->target, &t->flow.tuple.source);
	if (!port)
		return 0;
	return rewrite_inner(skb, p, REWRITE_DESTINATION, &t->flow.tuple.source, port);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Source NAT of packets, replies and the ICMP errors about them (skb only). */
#pragma once
#include "nat.h"
#include "rewrite.h"
#include "scratch.h"

static __always_inline void flow_of(struct flow *f, const struct packet *p)
{
	f->tuple = p->tuple;
	f->family = p->family;
	f->tcp_flags = p->tcp_flags;
	f->fixed = !has_port_to_change(p);
	f->sequence = p->sequence;
	f->acknowledgement = p->acknowledgement;
	f->owner = SHARE_OF_NODE;
}

/* The flow whose reverse direction the quoted packet belongs to. */
static __always_inline void flow_against_quote(struct flow *f, const struct packet *p)
{
	f->tuple.source = p->inner.destination;
	f->tuple.source_port = p->inner.destination_port;
	f->tuple.destination = p->inner.source;
	f->tuple.destination_port = p->inner.source_port;
	*(__u32 *)&f->tuple.protocol = p->inner.protocol;
	f->family = p->family;
	f->tcp_flags = 0;
	f->fixed = 0;
	f->sequence = 0;
	f->acknowledgement = 0;
	f->owner = SHARE_OF_NODE;
}

/*
 * Translates the source of a packet of this_scratch(), or what an error quotes of it. Returns 0
 * or a negative drop reason.
 */
__noinline int nat_translate(struct __sk_buff *skb, struct packet *p, const struct address *own)
{
	struct scratch *t = this_scratch();
	struct address to;
	int port, err;

	if (!p || !own || !t)
		return DROP(NO_NAT_MAPPING);
	to = *own;
	if (p->flags & PACKET_ICMP_ERROR) {
		/* the quoted packet came to the sender: its destination is what was translated */
		port = nat_existing(&t->flow, &t->target, &to);
		if (!port)
			return DROP(NO_NAT_MAPPING);
		err = rewrite_inner(skb, p, REWRITE_DESTINATION, &to, port);
		return err ? err : rewrite_outer(skb, p, REWRITE_SOURCE, &to);
	}
	port = nat_find(skb, &t->flow, &t->target, &to);
	if (port < 0)
		return port;
	return rewrite(skb, p, REWRITE_SOURCE, &to, port);
}

/* Translates the source of a pod's packet that leaves through a device of the node; it came by the
 * pod's. */
static __always_inline int nat_masquerade(struct __sk_buff *skb, struct packet *p,
					  const struct address *own)
{
	struct scratch *t = this_scratch();

	if (!t)
		return DROP(NO_NAT_MAPPING);
	if (p->flags & PACKET_ICMP_ERROR)
		flow_against_quote(&t->flow, p);
	else
		flow_of(&t->flow, p);
	t->flow.owner = skb->ingress_ifindex & (SHARE_OWNERS - 1);
	t->target.address = t->flow.tuple.destination;
	t->target.port = t->flow.tuple.destination_port;
	return nat_translate(skb, p, own);
}

/* Reverse NAT of the error about a packet that was translated on egress. Returns as nat_reverse().
 */
static __always_inline int nat_reverse_error(struct __sk_buff *skb, struct packet *p)
{
	struct nat_entry *e;
	struct tuple t;
	int err;

	if (!error_is_to_quoted_sender(p))
		return 0;
	t.source = p->inner.destination;
	t.source_port = p->inner.destination_port;
	t.destination = p->inner.source;
	t.destination_port = p->inner.source_port;
	t.protocol = p->inner.protocol;
	e = nat_lookup_in(&t, 0, 0, 0);
	if (!e)
		return 0;
	/* from the backend itself, or from a router on the way to it */
	if (address_equal(&p->tuple.source, &p->inner.destination)) {
		err = rewrite_outer(skb, p, REWRITE_SOURCE, &e->frontend);
		if (err)
			return err;
	}
	err = rewrite_inner(skb, p, REWRITE_DESTINATION, &e->frontend, e->frontend_port);
	if (!err)
		err = rewrite_inner(skb, p, REWRITE_SOURCE, &e->address, e->port);
	if (!err)
		err = rewrite_outer(skb, p, REWRITE_DESTINATION, &e->address);
	return err ? err : 1;
}

/* Reverse NAT of a reply. Returns 1, 0 without a mapping, or a negative drop reason. */
__noinline int nat_reverse(struct __sk_buff *skb, struct packet *p)
{
	struct nat_entry *e;
	bool same;
	int err;

	if (!p)
		return 0;
	if (p->flags & PACKET_ICMP_ERROR)
		return nat_reverse_error(skb, p);
	e = nat_lookup_in(&p->tuple, p->tcp_flags, p->sequence, p->acknowledgement);
	if (!e)
		return 0;
	same = address_equal(&e->frontend, &p->tuple.source) &&
	       e->frontend_port == p->tuple.source_port;
	err = rewrite(skb, p, REWRITE_DESTINATION, &e->address, e->port);
	if (!err && !same && !is_icmp(p->tuple.protocol))
		err = rewrite(skb, p, REWRITE_SOURCE, &e->frontend, e->frontend_port);
	return err ? err : 1;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Service translation per packet, for senders that are not translated at the socket (skb only). */
#pragma once
#include "balance.h"
#include "conntrack.h"
#include "snat.h"
#include "node_port.h"
#include "port_conflict.h"
#include "rewrite.h"

static __always_inline bool in_source_ranges(__u32 service, const struct address *client)
{
	struct source_range_key key;

	key.prefix_length = 160;
	key.service = service;
	__builtin_memcpy(key.address, client, 16);
	return bpf_map_lookup_elem(&pilus_source_ranges, &key);
}

/*
 * Finds the service and the backend of a packet, or of the flow that an error is about. Returns 1
 * with this_scratch() filled, 0 when it is no service, or a negative drop reason. `owner`: of a
 * share.
 */
__noinline int choose_backend(const struct packet *p, int scope, __u32 owner)
{
	struct scratch *t = this_scratch();
	const struct address *to;
	struct service *s;
	struct backend *b;
	bool begins;
	__u32 row;
	int err;

	if (!p || !t)
		return 0;
	if (p->flags & PACKET_ICMP_ERROR) {
		if (!(p->flags & PACKET_INNER_PORTS) || !error_is_to_quoted_sender(p))
			return 0;
		flow_against_quote(&t->flow, p);
	} else {
		flow_of(&t->flow, p);
	}
	to = &t->flow.tuple.destination;
	s = scope == SCOPE_INTERNAL
		? internal_service_lookup(to, t->flow.tuple.destination_port,
					  t->flow.tuple.protocol)
		: service_lookup(to, t->flow.tuple.destination_port, t->flow.tuple.protocol);
	if (!s)
		return 0;
	begins = tcp_begins(t->flow.tcp_flags);
	t->flags = s->flags;
	t->service = s->id;
	t->backend = 0;
	if (scope == SCOPE_EXTERNAL) {
		if (!(s->flags & SERVICE_EXTERNAL))
			return DROP(CLUSTER_IP_FROM_OUTSIDE);
		if (s->flags & SERVICE_SOURCE_RANGES &&
		    !in_source_ranges(s->id, &t->flow.tuple.source))
			return DROP(NOT_IN_SOURCE_RANGES);
		err = balance(s, SCOPE_EXTERNAL, &t->flow.tuple, begins, owner);
	} else {
		err = balance(s, SCOPE_INTERNAL, &t->flow.tuple, begins, owner);
	}
	if (err < 0)
		return err;
	row = err;
	t->row = row;
	if (!row) {
		struct balance *q = bpf_map_lookup_elem(&pilus_balance, &row);

		if (!q)
			return DROP(SERVICE_BACKEND_NOT_FOUND);
		t->target.address = q->answer.backend;
		t->target.port = q->answer.port;
		return 1;
	}
	b = bpf_map_lookup_elem(&pilus_backends, &row);
	if (!b)
		return DROP(SERVICE_BACKEND_NOT_FOUND);
	t->target.address = b->address;
	t->target.port = b->port;
	t->backend = b->flags;
	count_hit(b, &t->flow.tuple, begins);
	return 1;
}

/* DNAT of a packet to its backend, or of what an error quotes. Returns 0 or a negative drop reason.
 */
__noinline int translate_destination(struct __sk_buff *skb, struct packet *p,
				     const struct target *target)
{
	struct target t;
	int err;

	if (!p || !target)
		return DROP(WRITE_ERROR);
	t = *target;
	if (p->flags & PACKET_ICMP_ERROR) {
		err = remap_quoted_port(skb, p, &t);
		if (err)
			return err;
		/* the error goes to the sender of the quoted reply */
		err = rewrite_inner(skb, p, REWRITE_SOURCE, &t.address, t.port);
		return err ? err : rewrite_outer(skb, p, REWRITE_DESTINATION, &t.address);
	}
	p->flags |= PACKET_TRANSLATED;
	p->inner.destination = p->tuple.destination;
	p->inner.destination_port = p->tuple.destination_port;
	return rewrite(skb, p, REWRITE_DESTINATION, &t.address, t.port);
}

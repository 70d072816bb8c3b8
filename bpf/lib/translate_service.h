// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The second step of a packet from a pod: the service translated, the destination identified. */
#pragma once
#include "hairpin.h"
#include "pod_egress.h"
#include "reject.h"
#include "service_dnat.h"

/* A packet to an address with services; other ports of the address do not exist, unless it is a
 * node's. */
static __always_inline int translate_to_backend(struct __sk_buff *skb, struct packet *p,
						struct event_context *c, struct pod_egress *e)
{
	struct scratch *t;
	int err = choose_backend(p, SCOPE_INTERNAL);

	/* ICMP errors are about replies and pass */
	if (!err && !(e->to->flags & IPCACHE_NODE || p->flags & PACKET_ICMP_ERROR))
		err = DROP(SERVICE_BACKEND_NOT_FOUND);
	if (err < 0) {
		drop(skb, p, c, err, METRIC_EGRESS);
		return step_done(e, reject(skb, p));
	}
	t = this_scratch();
	if (!err || !t)
		return STEP_NEXT;
	err = translate_destination(skb, p, &t->target);
	if (!err && address_equal(&p->tuple.destination, &p->tuple.source))
		err = hide_behind_hairpin(skb, p);
	if (err)
		return err;
	e->to = ipcache_exact(&p->tuple.destination);
	return STEP_NEXT;
}

static __always_inline int translate_service(struct __sk_buff *skb, struct packet *p,
					     struct event_context *c, struct pod_egress *e)
{
	int err;

	e->to = ipcache_exact(&p->tuple.destination);
	if (e->to && (e->to->flags & IPCACHE_SERVICE)) {
		err = translate_to_backend(skb, p, c, e);
		if (err)
			return err;
	}
	if (!e->to)
		e->to = ipcache_prefix(&p->tuple.destination);
	e->ends.destination_identity = identify(&p->tuple.destination, e->to);
	c->destination_identity = e->ends.destination_identity;
	if (e->to && (e->to->flags & IPCACHE_LOCAL)) {
		e->ends.destination = endpoint_by_ifindex(e->to->ifindex);
		if (!e->ends.destination)
			return DROP(ENDPOINT_NOT_READY);
	} else if (e->hairpin) {
		e->ends.destination = e->ep;
		e->ends.destination_identity = e->ep->identity;
	}
	return STEP_NEXT;
}

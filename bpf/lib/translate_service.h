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
	int err = choose_backend(p, SCOPE_INTERNAL, e->ep->ifindex);

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

/*
 * Whether the packet answers a client on a node, whose port may be that of a service by chance: it
 * goes to the initiator of a connection, or is an error about a packet from it.
 */
__noinline int is_answer(const struct packet *p)
{
	struct ct_entry *e;
	struct ct_key key;
	bool is_error, high;

	if (!p)
		return false;
	is_error = p->flags & PACKET_ICMP_ERROR;
	high = ct_make_key(is_error ? &p->inner : &p->tuple, &key);
	e = bpf_map_lookup_elem(&pilus_ct, &key);
	return e && !!ct_direction(e, high) != is_error &&
	       !ct_is_stale(e, p, bpf_ktime_get_coarse_ns());
}

/* Whether some port of the address is a service's; of other nodes the node ports are. */
static __always_inline bool may_be_service(const struct packet *p, const struct ipcache_entry *to)
{
	if (!to || !(to->flags & (IPCACHE_SERVICE | IPCACHE_NODE)))
		return false;
	if (!(to->flags & IPCACHE_NODE))
		return true;
	return (to->flags & IPCACHE_SERVICE || to->identity != IDENTITY_HOST) && !is_answer(p);
}

static __always_inline int translate_service(struct __sk_buff *skb, struct packet *p,
					     struct event_context *c, struct pod_egress *e)
{
	int err;

	e->to = ipcache_exact(&p->tuple.destination);
	if (may_be_service(p, e->to)) {
		err = translate_to_backend(skb, p, c, e);
		if (err)
			return err;
	}
	if (!e->to)
		e->to = ipcache_prefix(&p->tuple.destination);
	e->ends.destination_identity = identify(&p->tuple.destination, e->to);
	c->destination_identity = e->ends.destination_identity;
	if (is_vacant(e->to))
		return DROP(NO_KNOWN_POD);
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

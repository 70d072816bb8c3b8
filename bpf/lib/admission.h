// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Admission of a packet: conntrack first; policy for new connections and after policy changes. */
#pragma once
#include "bandwidth.h"
#include "conntrack.h"
#include "endpoint.h"
#include "events.h"
#include "ipcache.h"
#include "port_conflict.h"
#include "policy.h"
#include "rewrite.h"

/* The endpoints and identities of a packet's source and destination. */
struct ends {
	struct endpoint *source;      /* NULL: not an endpoint of this node */
	struct endpoint *destination; /* likewise */
	__u32 source_identity;
	__u32 destination_identity;
};

/* The result of admit(). */
struct admission {
	struct ct_entry *restore; /* set: the source is to be rewritten to the entry's frontend */
	struct verdict verdict;	  /* of the policy evaluated last; none on the established path */
	bool from_initiator;	  /* of an ICMP error: the sender initiated the quoted flow */
	bool fresh;		  /* a new connection, or TCP flags seen for the first time */
};

/* The port that policies match: for ICMP the type, for echo replies the request's type. */
static __always_inline __be16 policy_port(const struct packet *p, int direction)
{
	if (p->tuple.protocol == IPPROTO_ICMP || p->tuple.protocol == IPPROTO_ICMPV6) {
		if (icmp_is_echo(p->family, p->icmp_type))
			return bpf_htons(p->family == 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST);
		return bpf_htons(p->icmp_type);
	}
	return direction ? p->tuple.source_port : p->tuple.destination_port;
}

/* Evaluates one endpoint's policy and reports an explicit allow. Returns 0 or a negative drop
 * reason. */
static __always_inline int evaluate_policy(struct __sk_buff *skb, const struct packet *p,
					   struct event_context *c, const struct endpoint *ep,
					   __u32 peer, __be16 port, __u8 direction, bool report,
					   struct verdict *verdict)
{
	struct policy_query q = {
	    .policy = ep->policy,
	    .identity = peer,
	    .port = port,
	    .protocol = p->tuple.protocol,
	    .direction = direction,
	};
	struct verdict v = {};
	int err = policy_evaluate(&q, &v);

	if (err > 0)
		err = DROP(ENDPOINT_NOT_READY);
	if (!err)
		err = verdict_reason(&v);
	*verdict = v;
	c->endpoint = ep->id;
	c->cookie = v.cookie;
	c->direction = direction;
	if (!err && report && v.cookie) {
		c->type = EVENT_VERDICT;
		c->reason = 0;
		send_event(skb, p, c);
	}
	return err;
}

/* Evaluates the policies of the ends that are pods of this node for a connection of `initiator` to
 * `responder`. Policy does not apply within a pod. Returns 0 or a negative drop reason. */
static __always_inline int evaluate_ends(struct __sk_buff *skb, const struct packet *p,
					 struct event_context *c, const struct endpoint *initiator,
					 const struct endpoint *responder, __u32 initiator_identity,
					 __u32 responder_identity, __be16 port, bool report,
					 struct verdict *verdict)
{
	int err;

	if (initiator == responder)
		return 0;
	if (initiator) {
		err = evaluate_policy(skb, p, c, initiator, responder_identity, port, POLICY_EGRESS,
				      report, verdict);
		if (err)
			return err;
	}
	if (!responder)
		return 0;
	return evaluate_policy(skb, p, c, responder, initiator_identity, port, POLICY_INGRESS,
			       report, verdict);
}

/* Pods are no routers: they report only about packets that they received. */
static __always_inline bool identity_may_route(__u32 identity)
{
	switch (identity) {
	case IDENTITY_HOST:
	case IDENTITY_WORLD:
	case IDENTITY_REMOTE_NODE:
	case IDENTITY_KUBE_APISERVER:
	case IDENTITY_WORLD_IPV4:
	case IDENTITY_WORLD_IPV6:
		return true;
	default:
		return identity >= IDENTITY_SCOPE_LOCAL;
	}
}

/*
 * Whether a router with that identity can have seen a packet to the address: between pods of this
 * node there is none but the node, and into the tunnel only nodes see.
 */
static __always_inline bool router_sees(__u32 identity, const struct address *to)
{
	struct ipcache_entry *e;

	if (identity == IDENTITY_HOST)
		return true;
	e = ipcache_exact(to);
	if (!e || e->flags & IPCACHE_NODE)
		return true;
	if (e->flags & IPCACHE_LOCAL)
		return false;
	return !(e->flags & IPCACHE_TUNNEL) || routing_mode != ROUTING_VXLAN ||
	       identity == IDENTITY_REMOTE_NODE || identity == IDENTITY_KUBE_APISERVER;
}

/*
 * Admits an ICMP error with the flow that it quotes. Returns 0, a negative drop reason, or 1 when
 * it is to be judged as a flow of its own: it quotes no known flow, and its sender is no pod. `key`
 * is room on the caller's stack.
 */
static __always_inline int admit_error(struct packet *p, struct event_context *c,
				       const struct ends *ends, struct admission *a,
				       struct ct_key *key, __u64 now)
{
	bool router = !ends->source && identity_may_route(ends->source_identity);
	struct ct_entry *e;
	bool quoted_high;
	int direction;

	/* a router may report what is to somebody else, a host only what came to itself */
	if (!error_is_to_quoted_sender(p))
		return DROP(FORGED_ICMP_ERROR);
	/* Linux before 6.4 takes keys of maps from the stack */
	key->low = p->inner.destination;
	if (!address_equal(&p->tuple.source, &key->low) &&
	    (!router || !router_sees(ends->source_identity, &key->low)))
		return DROP(FORGED_ICMP_ERROR);
	quoted_high = ct_make_key(&p->inner, key);
	e = bpf_map_lookup_elem(&pilus_ct, key);
	if (!e || e->expires < now)
		return router ? 1 : DROP(FORGED_ICMP_ERROR);
	/* the error travels against the direction of the quoted packet */
	direction = ct_direction(e, quoted_high);
	/* a policy that has changed judges the connection's next packet first */
	if (ends->destination && ends->destination->revision !=
				     (direction ? e->responder_revision : e->initiator_revision))
		return DROP(POLICY_DENIED_BY_DEFAULT);
	if (ends->source &&
	    ends->source->revision != (direction ? e->initiator_revision : e->responder_revision))
		return DROP(POLICY_DENIED_BY_DEFAULT);
	a->from_initiator = direction;
	if ((e->flags & CT_SERVICE) && !direction)
		a->restore = e;
	c->status = STATUS_RELATED;
	return 0;
}

/*
 * Whose row a new connection is: of the endpoint that begins it, else of the one that it is to.
 * What the node itself begins is the node's.
 */
static __always_inline __u32 share_of_connection(const struct endpoint *initiator,
						 const struct endpoint *responder, __u32 from)
{
	if (initiator)
		return share_index(SHARE_STARTED, initiator->ifindex);
	if (from == IDENTITY_HOST || !responder)
		return share_index(SHARE_STARTED, SHARE_OF_NODE);
	return share_index(SHARE_ACCEPTED, responder->ifindex);
}

/* Returns 0 with `a` filled, or a negative drop reason. */
static __always_inline int admit(struct __sk_buff *skb, struct packet *p, struct event_context *c,
				 const struct ends *ends, struct admission *a)
{
	struct ct_entry *e;
	struct ct_key key;
	__u64 now = bpf_ktime_get_coarse_ns();
	const struct endpoint *initiator, *responder;
	__u32 initiator_identity, responder_identity, initiator_revision, responder_revision;
	bool source_high, known, report;
	int direction = 0, err;
	__be16 port;

	c->source_identity = ends->source_identity;
	c->destination_identity = ends->destination_identity;
	a->restore = NULL;

	if (unlikely(p->flags & PACKET_ICMP_ERROR)) {
		err = admit_error(p, c, ends, a, &key, now);
		if (err <= 0)
			return err;
	}

	/* the second time after the source port was remapped */
	for (int i = 0; i < 2; i++) {
		source_high = ct_make_key(&p->tuple, &key);
		e = bpf_map_lookup_elem(&pilus_ct, &key);
		known = e && !ct_is_stale(e, p, now);
		direction = known ? ct_direction(e, source_high) : 0;
		if (likely(!(p->flags & PACKET_TRANSLATED) || direction))
			break;
		err = resolve_port_conflict(skb, p, known ? e : NULL);
		if (err < 0)
			return err;
		if (!err)
			break;
	}
	initiator = direction ? ends->destination : ends->source;
	responder = direction ? ends->source : ends->destination;
	/* otherwise the compiler tests `direction` instead of the pointer, which the verifier
	 * cannot follow */
	barrier_var(initiator);
	barrier_var(responder);
	initiator_revision = initiator ? initiator->revision : 0;
	responder_revision = responder ? responder->revision : 0;
	a->from_initiator = !direction;
	c->status = !known ? STATUS_NEW : direction ? STATUS_REPLY : STATUS_ESTABLISHED;

	if (unlikely(!known || e->initiator_revision != initiator_revision ||
		     e->responder_revision != responder_revision)) {
		report = !known && trace_level();
		initiator_identity = direction ? ends->destination_identity : ends->source_identity;
		responder_identity = direction ? ends->source_identity : ends->destination_identity;
		port = policy_port(p, direction);
		err = evaluate_ends(skb, p, c, initiator, responder, initiator_identity,
				    responder_identity, port, report, &a->verdict);
		if (err)
			return err;
		/* who began it is not known: it must be allowed to either */
		if (!known && p->tuple.protocol == IPPROTO_TCP && !tcp_begins(p->tcp_flags)) {
			err = evaluate_ends(skb, p, c, responder, initiator, responder_identity,
					    initiator_identity, p->tuple.source_port, false,
					    &a->verdict);
			if (err)
				return err;
		}
		if (!known) {
			struct ct_origin origin = {
			    .initiator_identity = initiator_identity,
			    .responder_identity = responder_identity,
			    .initiator_revision = initiator_revision,
			    .responder_revision = responder_revision,
			    .share = share_of_connection(initiator, responder, initiator_identity),
			};

			err = ct_create(skb, p, &origin);
			if (err)
				return err < 0 ? err : DROP(CT_CREATE_FAILED);
			a->fresh = true;
			return 0;
		}
		e->initiator_identity = initiator_identity;
		e->responder_identity = responder_identity;
		e->initiator_revision = initiator_revision;
		e->responder_revision = responder_revision;
	}

	a->fresh = ct_account(e, p, direction, skb->len, now);
	if (direction && (e->flags & CT_SERVICE))
		a->restore = e;
	return 0;
}

/* Rewrites a reply's source to the frontend that the client connected to. */
static __always_inline int restore_frontend(struct __sk_buff *skb, struct packet *p,
					    const struct ct_entry *e)
{
	int err;

	if (unlikely(e->flags & CT_REMAPPED)) {
		err = nat_reverse(skb, p);
		return err > 0 ? 0 : err ? err : DROP(NO_NAT_MAPPING);
	}
	if (!(p->flags & PACKET_ICMP_ERROR))
		return rewrite(skb, p, REWRITE_SOURCE, &e->frontend, e->frontend_port);
	/* an error from the backend itself, or from a router on the way to it */
	if (address_equal(&p->tuple.source, &p->inner.destination)) {
		err = rewrite_outer(skb, p, REWRITE_SOURCE, &e->frontend);
		if (err)
			return err;
	}
	return rewrite_inner(skb, p, REWRITE_DESTINATION, &e->frontend, e->frontend_port);
}

/* admit(), tracing, then reverse service translation. Returns as admit(). */
static __always_inline int admit_and_restore(struct __sk_buff *skb, struct packet *p,
					     struct event_context *c, const struct ends *ends,
					     struct admission *a)
{
	int err = admit(skb, p, c, ends, a);

	if (err)
		return err;
	if (unlikely(ends->destination && ends->destination->flags & ENDPOINT_INGRESS_LIMITED)) {
		err = police(skb, ends->destination->ifindex);
		if (err)
			return err;
	}
	trace(skb, p, c, a->fresh ? TRACE_LEVEL_CONNECTIONS : TRACE_LEVEL_PACKETS);
	return a->restore ? restore_frontend(skb, p, a->restore) : 0;
}

/* The identity of an address whose ipcache entry is `e`. */
static __always_inline __u32 identify(const struct address *a, const struct ipcache_entry *e)
{
	return e && e->identity ? e->identity : identity_of_world(a);
}

/*
 * Whether a packet that left the node's stack may have the source whose ipcache entry is `from`. A
 * pod's address comes from its own device, the node's from the stack itself; other nodes' and their
 * pods' take other ways in. Returns 0 with the identity, or a negative drop reason.
 */
static __always_inline int identify_forwarded(struct __sk_buff *skb, const struct address *source,
					      const struct ipcache_entry *from, __u32 *identity)
{
	__u32 came_by = skb->ingress_ifindex; /* 0: the stack made the packet */

	*identity = identify(source, from);
	if (likely(!came_by || !from))
		return 0;
	if (from->flags & IPCACHE_NODE) {
		/* masqueraded for somebody, or forged */
		*identity = identity_of_world(source);
		return 0;
	}
	if (from->flags & IPCACHE_VACANT)
		return DROP(NO_KNOWN_POD);
	if (from->flags & IPCACHE_LOCAL)
		return from->ifindex == came_by ? 0 : DROP(INVALID_SOURCE_IP);
	if (from->flags & IPCACHE_TUNNEL &&
	    (routing_mode == ROUTING_VXLAN || !device_by_ifindex(came_by)))
		return DROP(INVALID_SOURCE_IP);
	return 0;
}

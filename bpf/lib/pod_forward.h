// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The last step of a packet from a pod: into a pod, the host's stack, the tunnel, or along a route.
 */
#pragma once
#include "bandwidth.h"
#include "forward.h"
#include "pod_egress.h"
#include "tunnel.h"

/* Whether to masquerade: the sender is the initiator and the destination is outside the cluster. */
static __always_inline bool needs_masquerade(const struct pod_egress *e)
{
	__u32 identity = e->ends.destination_identity;

	if (!masquerade || !e->admission.from_initiator)
		return false;
	if (e->to && (e->to->flags & IPCACHE_NODE))
		return routing_mode == ROUTING_VXLAN; /* pod addresses are not routable there */
	return identity < IDENTITY_CLUSTER_MIN || identity >= IDENTITY_SCOPE_LOCAL;
}

/* Counts a packet from a pod, of which `to_pod` says that it is to one of this node. */
static __always_inline void count_forwarded(__u32 length, bool to_pod)
{
	struct metrics *m = metrics_of(REASON_FORWARDED);

	if (!m)
		return;
	add_packets(m, METRIC_EGRESS, 1, length);
	if (to_pod)
		add_packets(m, METRIC_INGRESS, 1, length);
}

/* Returns STEP_DONE or a negative drop reason. */
static __always_inline int forward_egress(struct __sk_buff *skb, struct packet *p,
					  struct pod_egress *e)
{
	int verdict;

	if (unlikely(e->ep->flags & ENDPOINT_EGRESS_LIMITED) && !e->ends.destination &&
	    e->ends.destination_identity != IDENTITY_HOST) {
		verdict = pace(skb, e->ep->ifindex);
		if (verdict)
			return verdict;
	}
	count_forwarded(skb->len, e->ends.destination);
	if (e->ends.destination)
		return step_done(e, forward_to_endpoint(skb, e->ends.destination));
	if (e->ends.destination_identity == IDENTITY_HOST)
		return step_done(e, TC_ACT_OK);
	if (e->to && (e->to->flags & IPCACHE_TUNNEL) && routing_mode == ROUTING_VXLAN) {
		verdict = forward_by_tunnel(skb, p, e->ep->identity, &e->to->node);
	} else {
		if (needs_masquerade(e))
			skb->mark = (skb->mark & ~MARK_MASK) | MARK_MASQUERADE;
		verdict = forward_by_route(skb, p);
	}
	return verdict < 0 ? verdict : step_done(e, verdict);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The host's side of a pod's veth pair. One loaded program serves all pods. */
#include "lib/common.h"
#include "lib/config.h"
#include "lib/events.h"
#include "lib/admission.h"
#include "lib/forward.h"
#include "lib/fragment.h"
#include "lib/parse_skb.h"
#include "lib/hairpin.h"
#include "lib/neighbour.h"
#include "lib/reject.h"
#include "lib/service_dnat.h"
#include "lib/tunnel.h"

/* Whether to masquerade: the sender is the initiator and the destination is outside the cluster. */
static __always_inline bool needs_masquerade(const struct admission *a,
					     const struct ipcache_entry *to, __u32 identity)
{
	if (!masquerade || !a->from_initiator)
		return false;
	if (to && (to->flags & IPCACHE_NODE))
		return routing_mode ==
		       ROUTING_VXLAN; /* pods' addresses mean nothing to the network */
	return identity < IDENTITY_CLUSTER_MIN || identity >= IDENTITY_SCOPE_LOCAL;
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = {.point = POINT_FROM_ENDPOINT};
	struct ends ends = {};
	struct admission a = {};
	struct ipcache_entry *to;
	struct scratch *t;
	struct endpoint *ep;
	bool hairpin;
	int err;

	ep = endpoint_by_ifindex(skb->ifindex);
	if (!ep)
		return drop(skb, &p, &c, DROP(NO_ENDPOINT), METRIC_EGRESS);
	c.endpoint = ep->id;
	c.source_identity = ep->identity;
	ends.source = ep;
	ends.source_identity = ep->identity;

	if (skb->protocol == bpf_htons(ETH_P_ARP)) {
		err = answer_arp(skb);
		return err < 0 ? drop(skb, &p, &c, err, METRIC_EGRESS) : err;
	}
	err = parse_frame(skb, &p);
	if (err > 0)
		err = DROP(UNSUPPORTED_L3);
	if (err)
		goto dropped;
	if (is_neighbour_discovery(&p)) {
		if (p.icmp_type == ND_NEIGHBOUR_SOLICITATION) {
			err = answer_neighbour(skb, &p);
			if (err < 0)
				goto dropped;
			return err;
		}
		if (p.icmp_type == ND_NEIGHBOUR_ADVERTISEMENT)
			return TC_ACT_OK;
		goto ignored;
	}
	if (address_is_multicast(&p.tuple.destination) || address_is_link_local(&p.tuple.source) ||
	    address_is_link_local(&p.tuple.destination))
		goto ignored;
	if (!address_equal(&p.tuple.source, p.family == 4 ? &ep->ipv4 : &ep->ipv6)) {
		err = DROP(INVALID_SOURCE_IP);
		goto dropped;
	}
	err = fragment_track(&p);
	if (err)
		goto dropped;

	hairpin = is_hairpin(&p.tuple.destination);
	to = ipcache_exact(&p.tuple.destination);
	if (to && (to->flags & IPCACHE_SERVICE)) {
		err = choose_backend(&p, SCOPE_INTERNAL);
		/* other ports of a service address do not exist; ICMP errors pass */
		if (!err && !(to->flags & IPCACHE_NODE || p.flags & PACKET_ICMP_ERROR))
			err = DROP(SERVICE_BACKEND_NOT_FOUND);
		if (err < 0) {
			drop(skb, &p, &c, err, METRIC_EGRESS);
			return reject(skb, &p);
		}
		t = this_scratch();
		if (err && t) {
			err = translate_destination(skb, &p, &t->target);
			if (!err && address_equal(&p.tuple.destination, &p.tuple.source))
				err = hide_behind_hairpin(skb, &p);
			if (err)
				goto dropped;
			to = ipcache_exact(&p.tuple.destination);
		}
	}
	if (!to)
		to = ipcache_prefix(&p.tuple.destination);
	ends.destination_identity = identify(&p.tuple.destination, to);
	c.destination_identity = ends.destination_identity;
	if (to && (to->flags & IPCACHE_LOCAL)) {
		ends.destination = endpoint_by_ifindex(to->ifindex);
		if (!ends.destination) {
			err = DROP(ENDPOINT_NOT_READY);
			goto dropped;
		}
	} else if (hairpin) {
		ends.destination = ep;
		ends.destination_identity = ep->identity;
	}
	/* a pod must not inject encapsulated packets */
	if (to && (to->flags & IPCACHE_NODE) && p.tuple.protocol == IPPROTO_UDP && tunnel_ifindex &&
	    p.tuple.destination_port == bpf_htons(tunnel_port)) {
		err = DROP(ENCAP_PROHIBITED);
		goto dropped;
	}

	err = admit_and_restore(skb, &p, &c, &ends, &a);
	if (!err && unlikely(hairpin))
		err = return_from_hairpin(skb, &p, ep);
	if (err)
		goto dropped;
	count(REASON_FORWARDED, METRIC_EGRESS, skb->len);

	if (ends.destination) {
		count(REASON_FORWARDED, METRIC_INGRESS, skb->len);
		return forward_to_endpoint(skb, ends.destination);
	}
	if (ends.destination_identity == IDENTITY_HOST)
		return TC_ACT_OK;
	if (to && (to->flags & IPCACHE_TUNNEL) && routing_mode == ROUTING_VXLAN) {
		err = forward_by_tunnel(skb, &p, ep->identity, &to->node);
		if (err < 0)
			goto dropped;
		return err;
	}
	if (needs_masquerade(&a, to, ends.destination_identity))
		skb->mark = (skb->mark & ~MARK_MASK) | MARK_MASQUERADE;
	err = forward_by_route(skb, &p);
	if (err < 0)
		goto dropped;
	return err;

ignored:
	count(REASON_IGNORED_MULTICAST, METRIC_EGRESS, skb->len);
	return TC_ACT_SHOT;
dropped:
	return drop(skb, &p, &c, err, METRIC_EGRESS);
}

/* From the host's stack: local processes and forwarded packets. */
SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = {.point = POINT_TO_ENDPOINT};
	struct ends ends = {};
	struct admission a = {};
	struct ipcache_entry *from;
	int err;

	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return TC_ACT_OK;
	ends.destination = endpoint_by_ifindex(skb->ifindex);
	if (!ends.destination)
		return drop(skb, &p, &c, DROP(NO_ENDPOINT), METRIC_INGRESS);
	c.endpoint = ends.destination->id;
	c.destination_identity = ends.destination_identity = ends.destination->identity;
	err = parse_frame(skb, &p);
	if (err > 0)
		err = DROP(UNSUPPORTED_L3);
	if (err)
		goto dropped;
	if (is_neighbour_discovery(&p))
		return TC_ACT_OK;
	if (address_is_multicast(&p.tuple.destination) || address_is_link_local(&p.tuple.source) ||
	    address_is_link_local(&p.tuple.destination)) {
		count(REASON_IGNORED_MULTICAST, METRIC_INGRESS, skb->len);
		return TC_ACT_SHOT;
	}
	err = fragment_track(&p);
	if (err)
		goto dropped;
	from = ipcache_lookup(&p.tuple.source);
	ends.source_identity = identify(&p.tuple.source, from);
	if (from && (from->flags & IPCACHE_LOCAL))
		ends.source = endpoint_by_ifindex(from->ifindex);
	err = admit_and_restore(skb, &p, &c, &ends, &a);
	if (err)
		goto dropped;
	count(REASON_FORWARDED, METRIC_INGRESS, skb->len);
	return TC_ACT_OK;
dropped:
	return drop(skb, &p, &c, err, METRIC_INGRESS);
}

char _license[] SEC("license") = "GPL";

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The tunnel device: the VNI carries the sender's identity. */
#include "lib/common.h"
#include "lib/config.h"
#include "lib/events.h"
#include "lib/overlay_ingress.h"
#include "lib/admission.h"
#include "lib/forward.h"
#include "lib/fragment.h"
#include "lib/local_address.h"
#include "lib/parse_skb.h"
#include "lib/nodeport.h"

/* The identity from the VNI of a frame, or a negative drop reason. */
__noinline int read_identity(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_tunnel_key key;
	struct address from;

	if (!p)
		return DROP(NO_TUNNEL_KEY);
	/* a dual-stack underlay: the key may be of the other family */
	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0)) {
		address_from_v4(&from, bpf_htonl(key.remote_ipv4));
	} else {
		if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
			return DROP(NO_TUNNEL_KEY);
		__builtin_memcpy(&from, key.remote_ipv6, 16);
	}
	return overlay_identity(p, key.tunnel_id & 0xffffff, &from);
}

/* Reports an ingress drop; a separate function for its own stack frame. Returns the verdict. */
__noinline int drop_on_arrival(struct __sk_buff *skb, const struct packet *p, __u32 source,
			       int reason)
{
	struct event_context c = {.point = POINT_FROM_OVERLAY, .source_identity = source};
	struct address to;

	if (!p)
		return TC_ACT_SHOT;
	to = p->tuple.destination;
	c.destination_identity = identify(&to, ipcache_exact(&to));
	return drop(skb, p, &c, reason, METRIC_INGRESS);
}

SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	struct packet p = {};
	struct ipcache_entry *to;
	__u32 identity = IDENTITY_UNKNOWN, ifindex;
	int err;

	overlay_inflight_remove(skb);
	err = parse_frame(skb, &p);
	if (err > 0)
		err = DROP(UNSUPPORTED_L3);
	if (err)
		goto dropped;
	err = read_identity(skb, &p);
	if (err < 0)
		goto dropped;
	identity = err;
	err = fragment_track(&p, 0);
	if (err)
		goto dropped;
	ifindex = local_ifindex(&p.tuple.destination, &to);
	if (likely(ifindex))
		return overlay_ingress(skb, &p, identity, ifindex);
	if (identify(&p.tuple.destination, to) != IDENTITY_HOST) {
		err = DROP(UNROUTABLE);
		goto dropped;
	}
	/* a tunnel in the tunnel would speak as any node */
	if (is_to_tunnel_port(&p)) {
		err = DROP(ENCAP_PROHIBITED);
		goto dropped;
	}
	err = nat_reverse(skb, &p);
	if (err > 0) {
		/* the reply to an external client of a service */
		err = route_translated(skb, &p);
		if (err >= 0)
			return err;
	}
	if (err < 0)
		goto dropped;
	/* a reply to the node itself */
	bpf_skb_change_type(skb, PACKET_HOST);
	return TC_ACT_OK;
dropped:
	return drop_on_arrival(skb, &p, identity, err);
}

/* From the host's stack; packets from a pod's program already have their tunnel key. */
SEC("tc")
int to_overlay(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = {.point = POINT_TO_OVERLAY};
	struct ipcache_entry *from, *to;
	int err;

	if ((skb->mark & MARK_MASK) == MARK_OVERLAY)
		return TC_ACT_OK;
	err = parse_frame(skb, &p);
	if (err > 0)
		err = DROP(UNSUPPORTED_L3);
	if (err)
		goto dropped;
	if (address_is_multicast(&p.tuple.destination) || address_is_link_local(&p.tuple.source) ||
	    address_is_link_local(&p.tuple.destination)) {
		count(REASON_IGNORED_MULTICAST, METRIC_EGRESS, skb->len);
		return TC_ACT_SHOT;
	}
	from = ipcache_exact(&p.tuple.source);
	to = ipcache_exact(&p.tuple.destination);
	err = identify_forwarded(skb, &p.tuple.source, from, &c.source_identity);
	if (err)
		goto dropped;
	c.destination_identity = identify(&p.tuple.destination, to);
	if (!to || !(to->flags & IPCACHE_TUNNEL)) {
		err = DROP(NO_TUNNEL_ENDPOINT);
		goto dropped;
	}
	err = set_tunnel(skb, c.source_identity, &to->node);
	if (err)
		goto dropped;
	trace(skb, &p, &c, TRACE_LEVEL_PACKETS);
	return TC_ACT_OK;
dropped:
	return drop(skb, &p, &c, err, METRIC_EGRESS);
}

char _license[] SEC("license") = "GPL";

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The tunnel device: the sender's identity travels in the VNI. */
#include "lib/common.h"
#include "lib/config.h"
#include "lib/events.h"
#include "lib/connection.h"
#include "lib/deliver.h"
#include "lib/fragment.h"
#include "lib/frame.h"
#include "lib/serve.h"

SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = { .point = POINT_FROM_OVERLAY };
	struct ends ends = {};
	struct admission a = {};
	struct bpf_tunnel_key key = {};
	struct ipcache_entry *to;
	int err;

	err = parse_frame(skb, &p);
	if (err > 0)
		err = DROP(UNSUPPORTED_L3);
	if (err)
		goto dropped;
	if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0)) {
		/* a dual-stack underlay: the same question for the other family */
		if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6)) {
			err = DROP(NO_TUNNEL_KEY);
			goto dropped;
		}
	}
	ends.source_identity = key.tunnel_id;
	c.source_identity = key.tunnel_id;
	if (ends.source_identity == IDENTITY_WORLD) {
		/* a client of a service of that node */
		ends.source_identity = identity_of_world(&p.tuple.source);
		c.source_identity = ends.source_identity;
	} else if (ends.source_identity != IDENTITY_REMOTE_NODE &&
		   ends.source_identity < IDENTITY_CLUSTER_MIN) {
		err = DROP(INVALID_IDENTITY);
		goto dropped;
	}
	err = fragment_track(&p);
	if (err)
		goto dropped;
	to = ipcache_exact(&p.tuple.destination);
	ends.destination_identity = identify(&p.tuple.destination, to);
	c.destination_identity = ends.destination_identity;
	if (to && (to->flags & IPCACHE_LOCAL))
		ends.destination = endpoint_by_ifindex(to->ifindex);
	if (!ends.destination) {
		if (ends.destination_identity != IDENTITY_HOST) {
			err = DROP(UNROUTABLE);
			goto dropped;
		}
		err = nat_reverse(skb, &p);
		if (err > 0) {
			/* to a client of a service of this node */
			err = route_translated(skb, &p);
			if (err >= 0)
				return err;
		}
		if (err < 0)
			goto dropped;
		/* an answer to the node itself */
		bpf_skb_change_type(skb, PACKET_HOST);
		return TC_ACT_OK;
	}
	c.endpoint = ends.destination->id;
	err = admit_and_restore(skb, &p, &c, &ends, &a);
	if (err)
		goto dropped;
	count(REASON_FORWARDED, METRIC_INGRESS, skb->len);
	return deliver_to_endpoint(skb, ends.destination);
dropped:
	return drop(skb, &p, &c, err, METRIC_INGRESS);
}

/* From the host's stack; what comes from a pod's program has its tunnel key already. */
SEC("tc")
int to_overlay(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = { .point = POINT_TO_OVERLAY };
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
	c.source_identity = identify(&p.tuple.source, from);
	c.destination_identity = identify(&p.tuple.destination, to);
	if (!to || !(to->flags & IPCACHE_TUNNEL)) {
		err = DROP(NO_TUNNEL_ENDPOINT);
		goto dropped;
	}
	err = set_tunnel(skb, c.source_identity, &to->node);
	if (err)
		goto dropped;
	return TC_ACT_OK;
dropped:
	return drop(skb, &p, &c, err, METRIC_EGRESS);
}

char _license[] SEC("license") = "Dual BSD/GPL";

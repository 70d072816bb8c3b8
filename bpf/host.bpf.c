// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The node's own devices: packets for pods leave the stack's way here, and pods take the node's address. */
#include "lib/common.h"
#include "lib/config.h"
#include "lib/events.h"
#include "lib/connection.h"
#include "lib/deliver.h"
#include "lib/fragment.h"
#include "lib/frame.h"
#include "lib/nat.h"

SEC("tc")
int from_netdev(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = { .point = POINT_FROM_NETWORK };
	struct ends ends = {};
	struct admission a = {};
	struct ipcache_entry *from, *to;
	int err;

	err = parse_frame(skb, &p);
	/* what is not for a pod is the node's own affair: never lock anybody out */
	if (err)
		return TC_ACT_UNSPEC;
	to = ipcache_exact(&p.tuple.destination);
	if (!to)
		return TC_ACT_UNSPEC;
	if (to->identity == IDENTITY_HOST) {
		if (fragment_track(&p))
			return TC_ACT_UNSPEC;
		err = nat_reverse(skb, &p);
		if (err == 0)
			return TC_ACT_UNSPEC;
		if (err < 0)
			goto dropped;
		to = ipcache_exact(&p.tuple.destination);
		if (!to)
			return TC_ACT_UNSPEC;
	} else if (to->flags & IPCACHE_LOCAL) {
		err = fragment_track(&p);
		if (err)
			goto dropped;
	}
	if (!(to->flags & IPCACHE_LOCAL))
		return TC_ACT_UNSPEC;
	ends.destination = endpoint_by_ifindex(to->ifindex);
	if (!ends.destination) {
		err = DROP(ENDPOINT_NOT_READY);
		goto dropped;
	}
	ends.destination_identity = ends.destination->identity;
	c.endpoint = ends.destination->id;
	from = ipcache_lookup(&p.tuple.source);
	ends.source_identity = identify(&p.tuple.source, from);
	c.source_identity = ends.source_identity;
	c.destination_identity = ends.destination_identity;
	/* nobody out there has an address of this node or of its pods */
	if (ends.source_identity == IDENTITY_HOST || (from && (from->flags & IPCACHE_LOCAL))) {
		err = DROP(INVALID_SOURCE_IP);
		goto dropped;
	}
	/* with a tunnel, pods of other nodes come through it */
	if (routing_mode == ROUTING_VXLAN && from && (from->flags & IPCACHE_TUNNEL)) {
		err = DROP(INVALID_SOURCE_IP);
		goto dropped;
	}
	err = admit_and_restore(skb, &p, &c, &ends, &a);
	if (err)
		goto dropped;
	if (p.ttl <= 1)
		return TC_ACT_UNSPEC;
	err = decrement_ttl(skb, &p);
	if (err)
		goto dropped;
	count(REASON_FORWARDED, METRIC_INGRESS, skb->len);
	return deliver_to_endpoint(skb, ends.destination);
dropped:
	return drop(skb, &p, &c, err, METRIC_INGRESS);
}

SEC("tc")
int to_netdev(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = { .point = POINT_TO_NETWORK };
	struct device *device;
	struct address to;
	__u32 ifindex = skb->ifindex;
	int err;

	if ((skb->mark & MARK_MASK) != MARK_MASQUERADE)
		return TC_ACT_UNSPEC;
	err = parse_frame(skb, &p);
	if (err > 0)
		return TC_ACT_UNSPEC;
	if (err)
		goto dropped;
	device = bpf_map_lookup_elem(&pilus_devices, &ifindex);
	if (!device)
		return TC_ACT_UNSPEC;
	to = p.family == 4 ? device->ipv4 : device->ipv6;
	if (HALF(&to, 0) == 0 && HALF(&to, 1) == 0)
		return TC_ACT_UNSPEC;
	err = fragment_track(&p);
	if (err)
		goto dropped;
	err = nat_masquerade(skb, &p, &to);
	if (err)
		goto dropped;
	skb->mark = (skb->mark & ~MARK_MASK) | MARK_NAT_DONE;
	return TC_ACT_UNSPEC;
dropped:
	return drop(skb, &p, &c, err, METRIC_EGRESS);
}

char _license[] SEC("license") = "Dual BSD/GPL";

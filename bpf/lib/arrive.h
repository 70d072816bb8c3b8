// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What comes out of the tunnel, by its device or by the program of a node's own device. */
#pragma once
#include "connection.h"
#include "fragment.h"
#include "tunnel.h"

/* Who a number in a VNI is. Returns IDENTITY_UNKNOWN for one that no node may send. */
inline_always __u32 identity_from_wire(__u32 vni, const struct packet *p)
{
	if (vni == IDENTITY_WORLD) /* a client of a service of that node */
		return identity_of_world(&p->tuple.source);
	return vni == IDENTITY_REMOTE_NODE || vni >= IDENTITY_CLUSTER_MIN ? vni : IDENTITY_UNKNOWN;
}

/* To a pod of this node, found by `ifindex`. Returns the verdict. */
__noinline int arrive(struct __sk_buff *skb, struct packet *p, __u32 identity, __u32 ifindex)
{
	struct event_context c = { .point = POINT_FROM_OVERLAY };
	struct ends ends = {};
	struct admission a = {};
	int err;

	if (!p)
		return TC_ACT_SHOT;
	ends.source_identity = identity;
	ends.destination = endpoint_by_ifindex(ifindex);
	if (!ends.destination) {
		err = DROP(ENDPOINT_NOT_READY);
		goto dropped;
	}
	ends.destination_identity = ends.destination->identity;
	c.endpoint = ends.destination->id;
	err = admit_and_restore(skb, p, &c, &ends, &a);
	if (err)
		goto dropped;
	count(REASON_FORWARDED, METRIC_INGRESS, skb->len);
	return deliver_to_endpoint(skb, ends.destination);
dropped:
	return drop(skb, p, &c, err, METRIC_INGRESS);
}

/*
 * What this CPU has left to the tunnel's device and has not come out of it yet. The device delivers
 * somewhat later than decapsulate(), so everything else queues behind it, or connections would see
 * it overtake.
 */
struct inside {
	__u64 last;     /* when something was left to it, CLOCK_MONOTONIC, ns */
	__u32 segments; /* so many that merging and splitting do not change it */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct inside);
} pilus_inside SEC(".maps");

/* What was left for so long has been lost in there. */
#define INSIDE_NS (20 * NS_PER_SECOND / 1000)

inline_always struct inside *this_inside(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pilus_inside, &zero);
}

inline_always __u32 segments_of(struct __sk_buff *skb)
{
	return skb->gso_segs > 1 ? skb->gso_segs : 1;
}

/* The packet is left to the tunnel's device. */
inline_always void goes_inside(struct __sk_buff *skb)
{
	struct inside *i = this_inside();
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!i)
		return;
	i->segments = segments_of(skb) + (now - i->last < INSIDE_NS ? i->segments : 0);
	i->last = now;
}

/* The packet has come out of it. */
inline_always void comes_outside(struct __sk_buff *skb)
{
	struct inside *i = this_inside();
	__u32 segments = segments_of(skb);

	if (i)
		i->segments -= i->segments < segments ? i->segments : segments;
}

inline_always bool is_anything_inside(void)
{
	struct inside *i = this_inside();

	return !i || (i->segments && bpf_ktime_get_coarse_ns() - i->last < INSIDE_NS);
}

/*
 * Takes a packet for a pod of this node out of its frame. Returns what arrive() wants, the identity
 * in the upper half and the ifindex in the lower, or 0 when it is the tunnel's device that has to
 * look: the packet is then as it was, `p` is not.
 */
__noinline __u64 decapsulate(struct __sk_buff *skb, struct packet *p)
{
	const struct encapsulation *e;
	struct ipcache_entry *row;
	struct address end;
	__u32 identity, ifindex;

	if (!p || has_options(p) || skb->gso_size || is_anything_inside())
		return 0;
	pull_headers(skb, ETH_HLEN + ENCAPSULATION);
	e = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)e + ENCAPSULATION > (void *)(long)skb->data_end || e->udp.check ||
	    e->flags != VXLAN_HAS_VNI || (e->ip.tos & ECN_MASK) == ECN_CONGESTED ||
	    ETH_HLEN + bpf_ntohs(e->ip.tot_len) != skb->len)
		return 0;
	/* only nodes are believed; the device, and a firewall before it, judge the others */
	end = p->tuple.source;
	row = ipcache_exact(&end);
	if (!row || !(row->flags & IPCACHE_NODE) || row->identity == IDENTITY_HOST)
		return 0;
	identity = bpf_ntohl(e->vni) >> 8;
	__builtin_memset(p, 0, sizeof(*p));
	p->family = e->ethernet.h_proto == bpf_htons(ETH_P_IP)     ? 4 :
		    e->ethernet.h_proto == bpf_htons(ETH_P_IPV6) ? 6 : 0;
	/* no more than there is: what is pulled in is copied */
	pull_headers(skb, ETH_HLEN + ENCAPSULATION + (p->family == 4 ? 40 : 60));
	if (!p->family || parse_packet(skb, ETH_HLEN + ENCAPSULATION, p->family, p) ||
	    p->flags & (PACKET_FRAGMENT | PACKET_ICMP_ERROR))
		return 0;
	identity = identity_from_wire(identity, p);
	end = p->tuple.destination;
	row = ipcache_exact(&end);
	if (!identity || !row || !(row->flags & IPCACHE_LOCAL))
		return 0;
	ifindex = row->ifindex;
	if (bpf_skb_adjust_room(skb, -ENCAPSULATION, BPF_ADJ_ROOM_MAC,
				p->family == 6 ? ADJ_ROOM_DECAP_L3_IPV6 : 0))
		return 0;
	p->l3 -= ENCAPSULATION;
	p->l4 -= ENCAPSULATION;
	return (__u64)identity << 32 | ifindex;
}

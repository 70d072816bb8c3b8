// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Ingress from the overlay, decapsulated by the tunnel device or by the node's device program. */
#pragma once
#include "admission.h"
#include "fragment.h"
#include "local_address.h"
#include "pod_ingress.h"
#include "sender_slot.h"
#include "tunnel.h"

/* Whether pods have the identity; what has no manifest is init or unmanaged. */
static __always_inline bool is_of_pods(__u32 identity)
{
	return likely(identity >= IDENTITY_CLUSTER_MIN) || identity == IDENTITY_INIT ||
	       identity == IDENTITY_UNMANAGED;
}

/* The cached node of a pod's address. */
struct overlay_sender {
	struct address source;
	struct address node; /* where the tunnel to it ends */
	__u64 expires;	     /* jiffies */
};

/* Per CPU: one row per hash. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SENDERS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct overlay_sender);
} pilus_overlay_senders SEC(".maps");

/*
 * The identity of a sender that is no known pod: the node `from` itself, a pod of its that is not
 * known yet, or a host that it forwards for. IDENTITY_UNKNOWN: it may not speak for the source, or
 * not as that identity. `row` is the source's, or NULL.
 */
static __always_inline __u32 identity_by_node(const struct address *source, __u32 vni,
					      const struct address *from,
					      const struct ipcache_entry *row)
{
	struct cidr_key key;
	struct address *owner;

	if (row && row->flags & IPCACHE_NODE) {
		/* its own: from its processes, or for a client of a service */
		if (!address_equal(&row->node, from))
			return IDENTITY_UNKNOWN;
		if (vni == IDENTITY_WORLD)
			return identity_of_world(source);
		if (vni == IDENTITY_REMOTE_NODE)
			return row->identity;
		return is_of_pods(vni) ? vni : IDENTITY_UNKNOWN;
	}
	if (row && row->flags & IPCACHE_LOCAL)
		return IDENTITY_UNKNOWN;
	key.prefix_length = 128;
	__builtin_memcpy(key.address, source, 16);
	owner = bpf_map_lookup_elem(&pilus_node_cidrs, &key);
	if (owner)
		return is_of_pods(vni) && address_equal(owner, from) ? vni : IDENTITY_UNKNOWN;
	/* what the node forwards for hosts outside */
	return vni == IDENTITY_WORLD && !address_is_loopback(source) ? identity_of_world(source)
								     : IDENTITY_UNKNOWN;
}

/*
 * The identity of the sender of a frame with that VNI whose outer source is `from`, or a negative
 * drop reason: `from` is no node, or may not speak for the source as that identity. Not inlined for
 * the stack of its callers, and not global, as pointers to maps that programs do not write cannot
 * be passed on.
 */
static __noinline int overlay_identity(const struct packet *p, __u32 vni,
				       const struct address *from)
{
	struct overlay_sender *known;
	struct ipcache_entry *row;
	struct address source;
	__u32 slot, identity;

	if (!p || !from)
		return DROP(INVALID_IDENTITY);
	source = p->tuple.source;
	slot = sender_slot(&source);
	known = bpf_map_lookup_elem(&pilus_overlay_senders, &slot);
	if (!known)
		return DROP(INVALID_IDENTITY);
	if (likely(known->expires >= bpf_jiffies64() && address_equal(&known->source, &source) &&
		   address_equal(&known->node, from)))
		return is_of_pods(vni) ? vni : DROP(INVALID_IDENTITY);
	if (!other_node(from))
		return DROP(TUNNEL_FROM_UNKNOWN_NODE);
	row = ipcache_exact(&source);
	if (row && row->flags & IPCACHE_TUNNEL && !(row->flags & IPCACHE_NODE)) {
		if (!is_of_pods(vni) || !address_equal(&row->node, from))
			return DROP(INVALID_IDENTITY);
		known->source = source;
		known->node = *from;
		known->expires = bpf_jiffies64() + SENDER_JIFFIES;
		return vni;
	}
	identity = identity_by_node(&source, vni, from, row);
	return identity ? identity : DROP(INVALID_IDENTITY);
}

/* Admits and forwards to the pod of `ifindex`. Returns the verdict. */
__noinline int overlay_ingress(struct __sk_buff *skb, struct packet *p, __u32 identity,
			       __u32 ifindex)
{
	struct event_context c = {.point = POINT_FROM_OVERLAY};
	struct ends ends = {};
	struct admission a = {};
	int err;

	if (!p)
		return TC_ACT_SHOT;
	ends.source_identity = identity;
	err = find_destination(p, &c, &ends, ifindex);
	if (err)
		goto dropped;
	err = admit_and_restore(skb, p, &c, &ends, &a);
	if (err)
		goto dropped;
	count(REASON_FORWARDED, METRIC_INGRESS, skb->len);
	return forward_to_endpoint(skb, ends.destination);
dropped:
	return drop(skb, p, &c, err, METRIC_INGRESS);
}

/*
 * Segments of this CPU that are inside the tunnel device. The device delivers later than
 * decapsulate(), so while it holds segments all packets take the device: otherwise they would be
 * reordered.
 */
struct overlay_inflight {
	__u64 last;	/* when a packet was last left to the device, CLOCK_MONOTONIC, ns */
	__u32 segments; /* counted so that GRO and GSO do not change the number */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct overlay_inflight);
} pilus_overlay_inflight SEC(".maps");

/* After this time the device has dropped them. */
#define OVERLAY_INFLIGHT_NS (20 * NS_PER_SECOND / 1000)

static __always_inline struct overlay_inflight *this_overlay_inflight(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pilus_overlay_inflight, &zero);
}

static __always_inline __u32 segments_of(struct __sk_buff *skb)
{
	return skb->gso_segs > 1 ? skb->gso_segs : 1;
}

/* The packet is left to the tunnel device. */
static __always_inline void overlay_inflight_add(struct __sk_buff *skb)
{
	struct overlay_inflight *i = this_overlay_inflight();
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!i)
		return;
	i->segments = segments_of(skb) + (now - i->last < OVERLAY_INFLIGHT_NS ? i->segments : 0);
	i->last = now;
}

/* The packet has left the tunnel device. */
static __always_inline void overlay_inflight_remove(struct __sk_buff *skb)
{
	struct overlay_inflight *i = this_overlay_inflight();
	__u32 segments = segments_of(skb);

	if (i)
		i->segments -= i->segments < segments ? i->segments : segments;
}

static __always_inline bool overlay_has_inflight(void)
{
	struct overlay_inflight *i = this_overlay_inflight();

	return !i || (i->segments && bpf_ktime_get_coarse_ns() - i->last < OVERLAY_INFLIGHT_NS);
}

/*
 * Decapsulates a packet to a pod of this node. Returns the arguments of overlay_ingress(), the
 * identity in the upper half and the ifindex in the lower, or 0 when the tunnel device must do it:
 * the packet is then unmodified, `p` is not.
 */
__noinline __u64 decapsulate(struct __sk_buff *skb, struct packet *p)
{
	const struct encapsulation *e;
	struct ipcache_entry *row;
	struct address end, from;
	__u32 ifindex, vni;
	int identity;

	if (!p || has_options(p) || skb->gso_size || overlay_has_inflight())
		return 0;
	pull_headers(skb, ETH_HLEN + ENCAPSULATION);
	e = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)e + ENCAPSULATION > (void *)(long)skb->data_end || e->udp.check ||
	    e->flags != VXLAN_HAS_VNI || (e->ip.tos & ECN_MASK) == ECN_CONGESTED ||
	    ETH_HLEN + bpf_ntohs(e->ip.tot_len) != skb->len)
		return 0;
	from = p->tuple.source;
	vni = bpf_ntohl(e->vni) >> 8;
	__builtin_memset(p, 0, sizeof(*p));
	p->family = e->ethernet.h_proto == bpf_htons(ETH_P_IP)	   ? 4
		    : e->ethernet.h_proto == bpf_htons(ETH_P_IPV6) ? 6
								   : 0;
	/* not more than necessary: pulled bytes are copied */
	pull_headers(skb, ETH_HLEN + ENCAPSULATION + (p->family == 4 ? 40 : 60));
	if (!p->family || parse_packet(skb, ETH_HLEN + ENCAPSULATION, p->family, p) ||
	    p->flags & (PACKET_FRAGMENT | PACKET_ICMP_ERROR))
		return 0;
	/* what others send passes the firewall to the tunnel device, whose program drops it */
	identity = overlay_identity(p, vni, &from);
	if (identity < 0)
		return 0;
	end = p->tuple.destination;
	ifindex = local_ifindex(&end, &row);
	if (!ifindex)
		return 0;
	if (bpf_skb_adjust_room(skb, -ENCAPSULATION, BPF_ADJ_ROOM_MAC,
				p->family == 6 ? ADJ_ROOM_DECAP_L3_IPV6 : 0))
		return 0;
	p->l3 -= ENCAPSULATION;
	p->l4 -= ENCAPSULATION;
	return (__u64)identity << 32 | ifindex;
}

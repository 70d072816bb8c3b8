// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Whether a packet from the wire may have its source (skb only). The network never sends from an
 * address of this node or of its pods. Packets of another node's pods, tunnel frames of the node,
 * and in tunnel mode what it sends to pods and services, have its MAC when it is on the same link.
 * Where a router is between, or the MAC is not known, any is taken.
 */
#pragma once
#include "config.h"
#include "device.h"
#include "forward.h"
#include "ipcache.h"
#include "sender_slot.h"

/* The cached way back to a source. */
struct sender {
	struct address source;
	__u64 expires; /* jiffies */
	__u32 ifindex; /* where its packets arrive */
	__u8 mac[6];   /* of its node; zero: unknown, or there is a router between */
	__u8 own;      /* 1: this node has the address, or a pod of it */
	__u8 pad[5];
};

/* Per CPU: one row per hash. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SENDERS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct sender);
} pilus_senders SEC(".maps");

static __always_inline bool mac_is_zero(const __u8 *mac)
{
	return !(*(__u32 *)mac | *(__u16 *)&mac[4]);
}

/* Finds the next hop to `to`: on the device of the packet, or on another when it has no route. */
static __always_inline long find_way_back(struct __sk_buff *skb, struct bpf_fib_lookup *fib,
					  const struct address *to)
{
	__u32 flags = BPF_FIB_LOOKUP_OUTPUT;
	long err;

	for (int i = 0; i < 2; i++, flags = 0) {
		__builtin_memset(fib, 0, sizeof(*fib));
		fib->ifindex = skb->ifindex;
		/* the row is of the address, whatever header it was in */
		if (address_is_v4(to)) {
			fib->family = AF_INET;
			fib->ipv4_dst = WORD(to, 3);
		} else {
			fib->family = AF_INET6;
			__builtin_memcpy(fib->ipv6_dst, to->bytes, 16);
		}
		err = bpf_fib_lookup(skb, fib, sizeof(*fib), flags);
		if (err == BPF_FIB_LKUP_RET_SUCCESS || err == BPF_FIB_LKUP_RET_NO_NEIGH)
			break;
	}
	return err;
}

/* Fills the row of a source by the routes and neighbours of the way back. */
__noinline int find_sender(struct __sk_buff *skb, const struct packet *p, struct sender *row)
{
	struct bpf_fib_lookup fib;
	struct ipcache_entry *from, *next;
	struct address address, hop;

	if (!p || !row)
		return 0;
	address = p->tuple.source;
	row->source = address;
	row->ifindex = skb->ifindex;
	row->expires = bpf_jiffies64() + SENDER_JIFFIES;
	__builtin_memset(row->mac, 0, sizeof(row->mac));
	from = ipcache_exact(&address);
	row->own = from && (from->identity == IDENTITY_HOST || from->flags & IPCACHE_LOCAL);
	if (!from || row->own)
		return 0;
	if (find_way_back(skb, &fib, &address) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	if (fib.family == AF_INET)
		address_from_v4(&hop, fib.ipv4_dst);
	else
		__builtin_memcpy(hop.bytes, fib.ipv6_dst, 16);
	next = ipcache_exact(&hop);
	if (next && next->flags & IPCACHE_NODE && address_equal(&next->node, &from->node))
		__builtin_memcpy(row->mac, fib.dmac, 6);
	return 0;
}

/* Whether the packet from another node's address, or its pod's, has the MAC of that node. */
static __always_inline bool is_from_its_node(struct __sk_buff *skb, const struct packet *p)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	struct sender *row;
	__u32 slot;

	slot = sender_slot(&p->tuple.source);
	row = bpf_map_lookup_elem(&pilus_senders, &slot);
	if (!row || (void *)(eth + 1) > (void *)(long)skb->data_end)
		return false;
	if (row->expires < bpf_jiffies64() || row->ifindex != skb->ifindex ||
	    !address_equal(&row->source, &p->tuple.source)) {
		find_sender(skb, p, row);
		eth = (void *)(long)skb->data;
		if ((void *)(eth + 1) > (void *)(long)skb->data_end)
			return false;
	}
	if (row->own)
		return false;
	return mac_equal(eth->h_source, row->mac) || mac_is_zero(row->mac) || !node_mac_check;
}

/* Whether the entry is of another node, and its address not one that the tunnel leads to. */
static __always_inline bool is_other_node(const struct ipcache_entry *e)
{
	return (e->flags & (IPCACHE_NODE | IPCACHE_TUNNEL)) == IPCACHE_NODE &&
	       e->identity != IDENTITY_HOST;
}

/* Whether the packet may have its source, whose ipcache entry is `from`. */
static __always_inline bool source_is_believed(struct __sk_buff *skb, const struct packet *p,
					       const struct ipcache_entry *from)
{
	if (!from)
		return !address_is_no_source(&p->tuple.source);
	if (from->identity == IDENTITY_HOST || from->flags & IPCACHE_LOCAL)
		return false;
	/* in tunnel mode, packets of remote pods arrive through the overlay only */
	if (from->flags & IPCACHE_TUNNEL && routing_mode == ROUTING_VXLAN)
		return false;
	if (from->flags & IPCACHE_TUNNEL || (routing_mode == ROUTING_VXLAN && is_other_node(from)))
		return is_from_its_node(skb, p);
	/* in native routing, a node's own may come by a router that its way back does not have */
	return !address_is_no_source(&p->tuple.source);
}

/* Likewise, to a pod or a service. Returns 0 or a negative drop reason. */
static __always_inline int check_source(struct __sk_buff *skb, const struct packet *p,
					const struct ipcache_entry *from)
{
	if (is_vacant(from))
		return DROP(NO_KNOWN_POD);
	return source_is_believed(skb, p, from) ? 0 : DROP(INVALID_SOURCE_IP);
}

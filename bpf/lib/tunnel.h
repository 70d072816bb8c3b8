// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * VXLAN (RFC 7348) to pods of other nodes, with the sender's identity as the VNI.
 *
 * The tunnel device can do all of it, at the cost of two more passes through the node's stack.
 * Ordinary packets that are not segments of a large one are encapsulated here and sent to the
 * neighbour, and decapsulated by the receiving device's program.
 */
#pragma once
#include "config.h"
#include "forward.h"
#include "endpoint.h"
#include "parse_skb.h"
#include "ipcache.h"
#include "node.h"

/* The cached route to the tunnel endpoint of a node. */
struct peer {
	__u64 expires;	/* CLOCK_MONOTONIC, ns; then the route table is asked again */
	__u32 ifindex;	/* 0: only the stack knows */
	__be32 gateway; /* the node itself on a link of this one */
	__u32 mtu;	/* of an IP packet on the way */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __be32); /* its address */
	__type(value, struct peer);
} pilus_peers SEC(".maps");

/* The headers between the outer Ethernet header and the pod's packet. */
struct encapsulation {
	struct iphdr ip;
	struct udphdr udp;
	__be32 flags;
	__be32 vni;
	struct ethhdr ethernet;
};

#define ENCAPSULATION	       50 /* bytes of it: the structure ends with two of padding */
#define VXLAN_HAS_VNI	       bpf_htonl(1 << 27)
#define TUNNEL_SOURCE_PORT_MIN 32768
#define ECN_MASK	       3
#define ECN_CONGESTED	       3
/* <linux/bpf.h> since Linux 6.3 */
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

/* Whether it is addressed as outer frames of the tunnel are. */
static __always_inline bool is_to_tunnel_port(const struct packet *p)
{
	return p->tuple.protocol == IPPROTO_UDP &&
	       p->tuple.destination_port == bpf_htons(tunnel_port);
}

/* Whether the stack may take it for one; `err`: the parser could not follow it to the end. */
static __always_inline bool may_be_tunnel_frame(const struct packet *p, int err)
{
	return p->family && (err || p->flags & PACKET_FRAGMENT_LATER || is_to_tunnel_port(p));
}

/* The identity for the VNI: the host's own number is local to the node. */
static __always_inline __u32 identity_to_vni(__u32 identity)
{
	return identity == IDENTITY_HOST ? IDENTITY_REMOTE_NODE : identity;
}

/* Sets where the tunnel device sends the packet. Returns 0 or a negative drop reason. */
static __always_inline int set_tunnel(struct __sk_buff *skb, __u32 identity,
				      const struct address *node)
{
	struct bpf_tunnel_key key = {};
	__u64 flags = BPF_F_ZERO_CSUM_TX;

	key.tunnel_id = identity_to_vni(identity) & 0xffffff;
	key.tunnel_ttl = 64;
	if (address_is_v4(node)) {
		key.remote_ipv4 = bpf_ntohl(WORD(node, 3));
	} else {
		__builtin_memcpy(key.remote_ipv6, node->bytes, 16);
		flags = BPF_F_TUNINFO_IPV6;
	}
	if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags))
		return DROP(WRITE_ERROR);
	skb->mark = (skb->mark & ~MARK_MASK) | MARK_OVERLAY;
	return 0;
}

/* Asks the route table, for all packets to a node for a while. Returns 0, or -1. */
__noinline int resolve_peer(struct __sk_buff *skb, __be32 to)
{
	struct node *self = this_node();
	struct bpf_fib_lookup fib = {};
	struct peer row = {};

	if (!self || !address_is_v4(&self->ipv4))
		return -1;
	fib.ifindex = skb->ifindex;
	fib.family = AF_INET;
	fib.l4_protocol = IPPROTO_UDP;
	fib.tot_len = sizeof(struct iphdr);
	fib.ipv4_src = WORD(&self->ipv4, 3);
	fib.ipv4_dst = to;
	/* the stack resolves an unknown neighbour */
	if (bpf_fib_lookup(skb, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_SUCCESS) {
		row.ifindex = fib.ifindex;
		row.gateway = fib.ipv4_dst;
		row.mtu = fib.mtu_result;
	}
	row.expires = bpf_ktime_get_coarse_ns() + ROUTE_NS;
	return bpf_map_update_elem(&pilus_peers, &to, &row, BPF_ANY) ? -1 : 0;
}

/* The ECN bits, copied to the outer header (RFC 6040 4.1). */
static __always_inline __u8 congestion(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data;

	if ((void *)(data + ETH_HLEN + 2) > (void *)(long)skb->data_end)
		return 0;
	return (skb->protocol == bpf_htons(ETH_P_IP) ? data[ETH_HLEN + 1]
						     : data[ETH_HLEN + 1] >> 4) &
	       ECN_MASK;
}

/* Of an IPv4 header without options whose own field is zero. */
static __always_inline __u16 header_checksum(const struct iphdr *ip)
{
	const __u32 *words = (const __u32 *)ip;
	__u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];

	sum = (sum & 0xffffffff) + (sum >> 32);
	return fold_checksum((sum & 0xffff) + (sum >> 16));
}

/* Spreads the connections over the ways and queues of the network between the nodes. */
static __always_inline __u16 tunnel_source_port(const struct tuple *t)
{
	return TUNNEL_SOURCE_PORT_MIN + (tuple_spread(t) >> 17);
}

#define PEER_STALE -2

/*
 * Encapsulates the packet and sends it to the neighbour. Returns the verdict, PEER_STALE when the
 * peer is to be resolved first, or -1 when the tunnel device must do it; the packet is then
 * unmodified.
 */
__noinline int encapsulate(struct __sk_buff *skb, __u32 identity, __be32 to, __u16 source_port)
{
	struct node *self = this_node();
	struct encapsulation e = {};
	struct bpf_redir_neigh next = {};
	struct peer *peer;
	__u32 length = skb->len - ETH_HLEN + ENCAPSULATION;

	peer = bpf_map_lookup_elem(&pilus_peers, &to);
	if (!peer || peer->expires < bpf_ktime_get_coarse_ns())
		return PEER_STALE;
	if (!self || !peer->ifindex || length > peer->mtu)
		return -1;
	e.ip.version = 4;
	e.ip.ihl = 5;
	e.ip.tos = congestion(skb);
	e.ip.tot_len = bpf_htons(length);
	e.ip.id = bpf_get_prandom_u32();
	e.ip.ttl = 64;
	e.ip.protocol = IPPROTO_UDP;
	e.ip.saddr = WORD(&self->ipv4, 3);
	e.ip.daddr = to;
	e.ip.check = header_checksum(&e.ip);
	e.udp.source = bpf_htons(source_port);
	e.udp.dest = bpf_htons(tunnel_port);
	e.udp.len = bpf_htons(length - sizeof(e.ip));
	e.flags = VXLAN_HAS_VNI;
	e.vni = bpf_htonl(identity_to_vni(identity) << 8);
	if (bpf_skb_load_bytes(skb, 0, &e.ethernet, ETH_HLEN))
		return -1;
	if (bpf_skb_adjust_room(skb, ENCAPSULATION, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
				    BPF_F_ADJ_ROOM_ENCAP_L2_ETH |
				    BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) |
				    BPF_F_ADJ_ROOM_NO_CSUM_RESET))
		return -1;
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &e, ENCAPSULATION, 0))
		return DROP(WRITE_ERROR);
	skb->mark = (skb->mark & ~MARK_MASK) | MARK_OVERLAY;
	next.nh_family = AF_INET;
	next.ipv4_nh = peer->gateway;
	return bpf_redirect_neigh(peer->ifindex, &next, sizeof(next), 0);
}

/* Sends the packet to a node. Returns the verdict or a negative drop reason. */
static __always_inline int forward_by_tunnel(struct __sk_buff *skb, const struct packet *p,
					     __u32 identity, const struct address *node)
{
	__u16 port = tunnel_source_port(&p->tuple);
	int verdict = -1;

	if (!skb->gso_size && address_is_v4(node)) {
		verdict = encapsulate(skb, identity, WORD(node, 3), port);
		if (unlikely(verdict == PEER_STALE) && !resolve_peer(skb, WORD(node, 3)))
			verdict = encapsulate(skb, identity, WORD(node, 3), port);
		if (verdict != -1 && verdict != PEER_STALE)
			return verdict;
	}
	verdict = set_tunnel(skb, identity, node);
	return verdict ? verdict : bpf_redirect(tunnel_ifindex, 0);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Fragments IPv4 packets that are too long for the way on (RFC 791 3.2): what is translated has a
 * source that the stack would not forward. The first part goes on, the rest is received anew, as a
 * later fragment that may itself be too long (skb only).
 */
#pragma once
#include "fragment.h"
#include "rewrite.h"

#define IP_DONT_FRAGMENT  0x4000
#define IP_MORE_FRAGMENTS 0x2000

/* Of the payload; a power of 2. A packet of up to 2,048 bytes more can wait (HELD_BYTES). */
#define SPLIT_BYTES 1024

struct split {
	__u8 bytes[SPLIT_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct split);
} pilus_split SEC(".maps");

/*
 * Whether the sender left the checksum to a network card that the packet never met, as neighbours
 * on one machine do: then the pseudo header's sum stands there, and nothing here can complete it.
 */
static __always_inline bool checksum_is_unfinished(struct __sk_buff *skb, const struct packet *p,
						   const struct iphdr *ip, __u32 length)
{
	__be32 pseudo[3] = {ip->saddr, ip->daddr, bpf_htonl(ip->protocol << 16 | length)};
	int at = l4_checksum_offset(ip->protocol);
	__u16 sum;

	if (p->flags & PACKET_FRAGMENT)
		return false;
	if (at < 0 || bpf_skb_load_bytes(skb, p->l4 + at, &sum, sizeof(sum)))
		return true;
	return sum == (__u16)~fold_checksum(bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), 0));
}

/* A multiple of 8 of up to SPLIT_BYTES, of 8 or more, in a form that the verifier follows. */
static __always_inline __u32 split_length(__u32 length)
{
	if (length > SPLIT_BYTES)
		length = SPLIT_BYTES;
	length -= 8;
	barrier_var(length);
	return (length & (SPLIT_BYTES - 1) & ~7) + 8;
}

static __always_inline int write_fragment_header(struct __sk_buff *skb, struct iphdr *ip,
						 __u32 length, __u16 fragment)
{
	ip->tot_len = bpf_htons(sizeof(*ip) + length);
	ip->frag_off = bpf_htons(fragment);
	ip->check = 0;
	ip->check = fold_checksum(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
	return bpf_skb_store_bytes(skb, ETH_HLEN, ip, sizeof(*ip), 0);
}

/*
 * Leaves of the packet a first part of at most `mtu` bytes. Returns whether it did; else the
 * packet is as it was, or not to be had any more, which the kernel's lack of memory alone causes.
 */
__noinline int split_packet(struct __sk_buff *skb, struct packet *p, __u32 mtu)
{
	__u32 zero = 0, part = mtu - sizeof(struct iphdr), rest;
	struct split *s = bpf_map_lookup_elem(&pilus_split, &zero);
	struct iphdr ip;
	__u16 fragment;

	if (!p || !s || p->family != 4 || skb->gso_size || mtu < sizeof(ip) + 8 ||
	    p->l4 != ETH_HLEN + sizeof(ip) || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return 0;
	fragment = bpf_ntohs(ip.frag_off);
	part = split_length(part);
	rest = skb->len - ETH_HLEN - sizeof(ip);
	if (fragment & IP_DONT_FRAGMENT || rest <= part ||
	    checksum_is_unfinished(skb, p, &ip, rest) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip), s->bytes, part) ||
	    bpf_skb_adjust_room(skb, -(int)part, BPF_ADJ_ROOM_NET, 0))
		return 0;
	rest -= part;
	if (write_fragment_header(skb, &ip, rest, fragment + part / 8) ||
	    bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + sizeof(ip) + part, 0) ||
	    write_fragment_header(skb, &ip, part, fragment | IP_MORE_FRAGMENTS) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(ip), s->bytes, part, BPF_F_RECOMPUTE_CSUM))
		return 0;
	if (p->flags & PACKET_FRAGMENT)
		return 1;
	p->flags |= PACKET_FRAGMENT;
	p->fragment_id = ip.id;
	return !fragment_track(p, 0);
}

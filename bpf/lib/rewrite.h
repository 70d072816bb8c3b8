// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Changes an address and a port of a packet, its checksums with them (skb only). */
#pragma once
#include "common.h"
#include "parse.h"

enum rewrite_side {
	REWRITE_SOURCE,
	REWRITE_DESTINATION,
};

static __always_inline int l4_checksum_offset(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return offsetof(struct udphdr, check);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return offsetof(struct icmp_header, checksum);
	default:
		return -1;
	}
}

/* Whether the packet has a port (or identifier) that may become another one. */
static __always_inline bool has_port_to_change(const struct packet *p)
{
	switch (p->tuple.protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return true;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return icmp_is_echo(p->family, p->icmp_type);
	default:
		return false;
	}
}

/* Writes one address of an IP header at `l3`; IPv4's header checksum follows. */
static __always_inline int write_address(struct __sk_buff *skb, __u16 l3, __u8 family,
					 const struct address *from, const struct address *to,
					 int side)
{
	__u32 offset;

	if (family == 4) {
		offset = l3 + (side == REWRITE_SOURCE ? offsetof(struct iphdr, saddr)
						      : offsetof(struct iphdr, daddr));
		if (bpf_l3_csum_replace(skb, l3 + offsetof(struct iphdr, check), WORD(from, 3),
					WORD(to, 3), 4))
			return DROP(WRITE_ERROR);
		return bpf_skb_store_bytes(skb, offset, &to->bytes[12], 4, 0) ? DROP(WRITE_ERROR)
									      : 0;
	}
	offset = l3 + (side == REWRITE_SOURCE ? offsetof(struct ipv6hdr, saddr)
					      : offsetof(struct ipv6hdr, daddr));
	return bpf_skb_store_bytes(skb, offset, to->bytes, 16, 0) ? DROP(WRITE_ERROR) : 0;
}

/* The ones' complement sum of an address, not folded. */
static __always_inline __u64 address_sum(const struct address *a)
{
	return (__u64)WORD(a, 0) + WORD(a, 1) + WORD(a, 2) + WORD(a, 3);
}

/* The checksum at `at` follows a changed address that its pseudo header (or payload) holds. */
static __always_inline int fix_checksum_address(struct __sk_buff *skb, __u32 at,
						const struct address *from,
						const struct address *to, __u64 flags)
{
	/* 4 * (2^32 - 1) keeps it positive and is 0 in that arithmetic */
	__u64 diff = address_sum(to) + 4ULL * 0xffffffff - address_sum(from);

	diff = (diff & 0xffffffff) + (diff >> 32);
	diff = (diff & 0xffffffff) + (diff >> 32);
	return bpf_l4_csum_replace(skb, at, 0, diff, flags) ? DROP(WRITE_ERROR) : 0;
}

/*
 * Rewrites the packet's source or destination, and its port (for ICMP echo the identifier), in the
 * packet and in `p`. Later fragments have no L4 header: only the address changes.
 */
__noinline int rewrite(struct __sk_buff *skb, struct packet *p, int side, const struct address *to,
		       __u16 to_port)
{
	struct address *now;
	__be16 port;
	int checksum, err;
	bool icmp;
	__u64 zero_ok;

	if (!p || !to)
		return DROP(WRITE_ERROR);
	now = side == REWRITE_SOURCE ? &p->tuple.source : &p->tuple.destination;
	port = side == REWRITE_SOURCE ? p->tuple.source_port : p->tuple.destination_port;
	checksum = l4_checksum_offset(p->tuple.protocol);
	icmp = p->tuple.protocol == IPPROTO_ICMP || p->tuple.protocol == IPPROTO_ICMPV6;
	zero_ok = p->tuple.protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	if (port != to_port && !(p->flags & PACKET_FRAGMENT_LATER) && !has_port_to_change(p))
		return DROP(UNKNOWN_L4);
	err = write_address(skb, p->l3, p->family, now, to, side);
	if (err)
		return err;
	if (!(p->flags & PACKET_FRAGMENT_LATER) && checksum >= 0) {
		__u32 at = p->l4 + checksum;

		if (p->tuple.protocol != IPPROTO_ICMP) {
			err = fix_checksum_address(skb, at, now, to, BPF_F_PSEUDO_HDR | zero_ok);
			if (err)
				return err;
		}
		if (port != to_port) {
			__u32 offset = p->l4 + (icmp ? 4 : side == REWRITE_SOURCE ? 0 : 2);

			if (bpf_l4_csum_replace(skb, at, port, to_port, 2 | zero_ok) ||
			    bpf_skb_store_bytes(skb, offset, &to_port, 2, 0))
				return DROP(WRITE_ERROR);
		}
	}
	*now = *to;
	if (side == REWRITE_SOURCE || icmp)
		p->tuple.source_port = to_port;
	if (side == REWRITE_DESTINATION || icmp)
		p->tuple.destination_port = to_port;
	return 0;
}

/*
 * Rewrites one side of the packet that an ICMP error quotes. The quoted L4 checksum is left: a
 * quote need not contain it, and receivers do not verify it. The ICMP checksum stays true: in IPv4
 * the change of the quoted address is balanced by that of the quoted header's checksum.
 */
__noinline int rewrite_inner(struct __sk_buff *skb, struct packet *p, int side,
			     const struct address *to, __u16 to_port)
{
	struct address *now;
	__be16 port;
	bool icmp;
	__u32 at;
	int err;

	if (!p || !to)
		return DROP(WRITE_ERROR);
	now = side == REWRITE_SOURCE ? &p->inner.source : &p->inner.destination;
	port = side == REWRITE_SOURCE ? p->inner.source_port : p->inner.destination_port;
	icmp = p->inner.protocol == IPPROTO_ICMP || p->inner.protocol == IPPROTO_ICMPV6;
	at = p->l4 + offsetof(struct icmp_header, checksum);
	err = write_address(skb, p->inner_l3, p->family, now, to, side);
	if (err)
		return err;
	if (p->family == 6) {
		err = fix_checksum_address(skb, at, now, to, 0);
		if (err)
			return err;
	}
	if ((p->flags & PACKET_INNER_PORTS) && port != to_port) {
		__u32 offset = p->inner_l4 + (icmp ? 4 : side == REWRITE_SOURCE ? 0 : 2);

		if (bpf_l4_csum_replace(skb, at, port, to_port, 2) ||
		    bpf_skb_store_bytes(skb, offset, &to_port, 2, 0))
			return DROP(WRITE_ERROR);
	}
	*now = *to;
	if (side == REWRITE_SOURCE || icmp)
		p->inner.source_port = to_port;
	if (side == REWRITE_DESTINATION || icmp)
		p->inner.destination_port = to_port;
	return 0;
}

/* Rewrites an outer address alone: of an ICMP error, whose ports are those of the quote. */
__noinline int rewrite_outer(struct __sk_buff *skb, struct packet *p, int side,
			     const struct address *to)
{
	struct address *now;
	int err;

	if (!p || !to)
		return DROP(WRITE_ERROR);
	now = side == REWRITE_SOURCE ? &p->tuple.source : &p->tuple.destination;
	err = write_address(skb, p->l3, p->family, now, to, side);
	if (!err && p->family == 6)
		err = fix_checksum_address(skb, p->l4 + offsetof(struct icmp_header, checksum), now,
					   to, BPF_F_PSEUDO_HDR);
	*now = *to;
	return err;
}

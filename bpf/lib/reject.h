// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Rejects a packet, so that connect() fails at once and not by timeout: RST for TCP, "port
 * unreachable" for UDP. The reply arrives while the sender's socket is still locked; a segment then
 * waits in its backlog, whereas TCP would discard an ICMP error.
 */
#pragma once
#include "common.h"
#include "endpoint.h"
#include "parse.h"

#define HOST_UNREACHABLE_V4	1 /* RFC 792: codes of ICMP_DEST_UNREACH */
#define PORT_UNREACHABLE_V4	3
#define HOST_UNREACHABLE_V6	3 /* RFC 4443 3.1: codes of ICMPV6_DEST_UNREACH */
#define PORT_UNREACHABLE_V6	4
#define FRAGMENTATION_NEEDED_V4 4 /* likewise */
#define ICMPV6_PACKET_TOO_BIG	2
#define QUOTED_L4		8
#define FRAGMENT_HEADER		8 /* RFC 8200 4.5 */

struct reset_v4 {
	struct iphdr ip;
	struct tcphdr tcp;
};

struct reset_v6 {
	struct ipv6hdr ip;
	struct tcphdr tcp;
};

/* The reset of a port without listener (RFC 9293 3.10.7.1) to the segment at `l4`. */
static __always_inline int reset_segment(struct __sk_buff *skb, __u32 l4, struct tcphdr *r)
{
	struct tcphdr sent;

	if (bpf_skb_load_bytes(skb, l4, &sent, sizeof(sent)))
		return -1;
	r->source = sent.dest;
	r->dest = sent.source;
	r->doff = 5;
	r->rst = 1;
	if (sent.ack) {
		r->seq = sent.ack_seq;
	} else {
		r->ack = 1;
		r->ack_seq = bpf_htonl(bpf_ntohl(sent.seq) + sent.syn);
	}
	return 0;
}

static __always_inline int write_reset_v4(struct __sk_buff *skb)
{
	struct reset_v4 r = {};
	struct {
		__be32 source;
		__be32 destination;
		__be32 protocol_length;
	} pseudo;
	struct iphdr sent;
	__s64 sum;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &sent, sizeof(sent)) ||
	    reset_segment(skb, ETH_HLEN + sizeof(sent), &r.tcp) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + sizeof(r), 0))
		return -1;
	r.ip.version = 4;
	r.ip.ihl = 5;
	r.ip.tot_len = bpf_htons(sizeof(r));
	r.ip.ttl = 64;
	r.ip.protocol = IPPROTO_TCP;
	r.ip.saddr = sent.daddr;
	r.ip.daddr = sent.saddr;
	r.ip.check = fold_checksum(bpf_csum_diff(NULL, 0, (__be32 *)&r.ip, sizeof(r.ip), 0));
	pseudo.source = sent.daddr;
	pseudo.destination = sent.saddr;
	pseudo.protocol_length = bpf_htonl(IPPROTO_TCP << 16 | sizeof(r.tcp));
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	r.tcp.check = fold_checksum(bpf_csum_diff(NULL, 0, (__be32 *)&r.tcp, sizeof(r.tcp), sum));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &r, sizeof(r), BPF_F_INVALIDATE_HASH) ? -1 : 0;
}

static __always_inline int write_reset_v6(struct __sk_buff *skb)
{
	struct reset_v6 r = {};
	struct {
		__be32 length;
		__be32 next;
	} pseudo = {bpf_htonl(sizeof(r.tcp)), bpf_htonl(IPPROTO_TCP)};
	struct ipv6hdr sent;
	__s64 sum;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &sent, sizeof(sent)) ||
	    reset_segment(skb, ETH_HLEN + sizeof(sent), &r.tcp) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + sizeof(r), 0))
		return -1;
	r.ip.version = 6;
	r.ip.payload_len = bpf_htons(sizeof(r.tcp));
	r.ip.nexthdr = IPPROTO_TCP;
	r.ip.hop_limit = 64;
	r.ip.saddr = sent.daddr;
	r.ip.daddr = sent.saddr;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&r.ip.saddr, 32, sum);
	r.tcp.check = fold_checksum(bpf_csum_diff(NULL, 0, (__be32 *)&r.tcp, sizeof(r.tcp), sum));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &r, sizeof(r), BPF_F_INVALIDATE_HASH) ? -1 : 0;
}

struct icmp_error_v4 {
	struct iphdr ip;
	struct icmp_header icmp;
	__u8 quote[sizeof(struct iphdr) + QUOTED_L4];
};

struct icmp_error_v6 {
	struct ipv6hdr ip;
	struct icmp_header icmp;
	__u8 quote[sizeof(struct ipv6hdr) + FRAGMENT_HEADER + QUOTED_L4];
};

/* Turns the packet into the ICMP error: with an MTU that it is too big, else with that code that it
 * is unreachable. Returns 0, or -1 on failure. */
static __always_inline int write_icmp_error_v4(struct __sk_buff *skb, __u32 mtu, __u8 code)
{
	struct icmp_error_v4 r = {};
	struct iphdr *quoted = (struct iphdr *)r.quote;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, r.quote, sizeof(r.quote)) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + sizeof(r), 0))
		return -1;
	r.ip.version = 4;
	r.ip.ihl = 5;
	r.ip.tot_len = bpf_htons(sizeof(r));
	r.ip.ttl = 64;
	r.ip.protocol = IPPROTO_ICMP;
	r.ip.saddr = quoted->daddr;
	r.ip.daddr = quoted->saddr;
	r.ip.check = fold_checksum(bpf_csum_diff(NULL, 0, (__be32 *)&r.ip, sizeof(r.ip), 0));
	r.icmp.type = ICMP_DEST_UNREACH;
	r.icmp.code = mtu ? FRAGMENTATION_NEEDED_V4 : code;
	r.icmp.sequence = bpf_htons(mtu); /* RFC 1191 4 */
	r.icmp.checksum = fold_checksum(
	    bpf_csum_diff(NULL, 0, (__be32 *)&r.icmp, sizeof(r.icmp) + sizeof(r.quote), 0));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &r, sizeof(r), BPF_F_INVALIDATE_HASH) ? -1 : 0;
}

/* `quote`: bytes to quote. */
static __always_inline int write_icmp_error_v6(struct __sk_buff *skb, __u32 mtu, __u8 code,
					       __u32 quote)
{
	struct icmp_error_v6 r = {};
	struct ipv6hdr *quoted = (struct ipv6hdr *)r.quote;
	__u32 length = sizeof(r.icmp) + quote;
	struct {
		__be32 length;
		__be32 next;
	} pseudo = {bpf_htonl(length), bpf_htonl(IPPROTO_ICMPV6)};
	__s64 sum;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, r.quote, quote) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + sizeof(r.ip) + length, 0))
		return -1;
	r.ip.version = 6;
	r.ip.payload_len = bpf_htons(length);
	r.ip.nexthdr = IPPROTO_ICMPV6;
	r.ip.hop_limit = 64;
	r.ip.saddr = quoted->daddr;
	r.ip.daddr = quoted->saddr;
	r.icmp.type = mtu ? ICMPV6_PACKET_TOO_BIG : ICMPV6_DEST_UNREACH;
	r.icmp.code = mtu ? 0 : code;
	r.icmp.sequence = bpf_htons(mtu); /* RFC 4443 3.2: the lower half of 32 bits */
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&r.ip.saddr, 32, sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&r.icmp, length, sum);
	r.icmp.checksum = fold_checksum(sum);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &r, sizeof(r.ip) + length, BPF_F_INVALIDATE_HASH)
		   ? -1
		   : 0;
}

/* Sends the rewritten packet back to its sender. Returns the TC verdict. */
static __always_inline int send_back(struct __sk_buff *skb)
{
	struct endpoint *ep = endpoint_by_ifindex(skb->ifindex);
	struct {
		__u8 destination[6];
		__u8 source[6];
	} ethernet, came;

	if (ep) {
		__builtin_memcpy(ethernet.destination, ep->mac, 6);
		__builtin_memcpy(ethernet.source, ep->host_mac, 6);
	} else {
		if (bpf_skb_load_bytes(skb, 0, &came, sizeof(came)))
			return TC_ACT_SHOT;
		__builtin_memcpy(ethernet.destination, came.source, 6);
		__builtin_memcpy(ethernet.source, came.destination, 6);
	}
	if (bpf_skb_store_bytes(skb, 0, &ethernet, sizeof(ethernet), 0))
		return TC_ACT_SHOT;
	return ep ? bpf_redirect_peer(skb->ifindex, 0) : bpf_redirect(skb->ifindex, 0);
}

/* One global function per reply: each has its own stack frame. */
__noinline int reset_v4(struct __sk_buff *skb)
{
	return write_reset_v4(skb) ? TC_ACT_SHOT : send_back(skb);
}

__noinline int reset_v6(struct __sk_buff *skb)
{
	return write_reset_v6(skb) ? TC_ACT_SHOT : send_back(skb);
}

/* With `mtu`: the packet is longer than that; else it is unreachable, by that code. */
__noinline int unreachable_v4(struct __sk_buff *skb, __u32 mtu, __u8 code)
{
	return write_icmp_error_v4(skb, mtu, code) ? TC_ACT_SHOT : send_back(skb);
}

__noinline int unreachable_v6(struct __sk_buff *skb, __u32 mtu, __u8 code)
{
	__u32 quote = sizeof(struct ipv6hdr) + QUOTED_L4;

	return write_icmp_error_v6(skb, mtu, code, quote) ? TC_ACT_SHOT : send_back(skb);
}

/* Likewise, to the first part of a datagram. */
__noinline int fragment_too_big_v6(struct __sk_buff *skb, __u32 mtu)
{
	__u32 quote = sizeof(struct ipv6hdr) + FRAGMENT_HEADER + QUOTED_L4;

	return write_icmp_error_v6(skb, mtu, 0, quote) ? TC_ACT_SHOT : send_back(skb);
}

/* Whether the packet can be quoted: options and extensions would have to be quoted with it. */
static __always_inline bool can_be_answered(const struct packet *p)
{
	return !(p->flags & (PACKET_FRAGMENT | PACKET_ICMP_ERROR)) && !has_options(p);
}

/*
 * Replies with the path MTU, of a datagram in parts to the first one. The packet is consumed.
 */
static __always_inline int reject_too_big(struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	__u32 header = p->l4 - p->l3;

	if (p->flags & (PACKET_FRAGMENT_LATER | PACKET_ICMP_ERROR))
		return TC_ACT_SHOT;
	if (p->family == 6 && p->flags & PACKET_FRAGMENT)
		return header == sizeof(struct ipv6hdr) + FRAGMENT_HEADER
			   ? fragment_too_big_v6(skb, mtu)
			   : TC_ACT_SHOT;
	if (has_options(p))
		return TC_ACT_SHOT;
	return p->family == 4 ? unreachable_v4(skb, mtu, 0) : unreachable_v6(skb, mtu, 0);
}

/*
 * Replies as a router that knows of no such host. TCP takes it for a state that may pass, and tries
 * again. The packet is consumed.
 */
static __always_inline int reject_host(struct __sk_buff *skb, const struct packet *p)
{
	if (!can_be_answered(p))
		return TC_ACT_SHOT;
	return p->family == 4 ? unreachable_v4(skb, 0, HOST_UNREACHABLE_V4)
			      : unreachable_v6(skb, 0, HOST_UNREACHABLE_V6);
}

/*
 * Replies as a host without a listener would. The packet is consumed. Returns the TC verdict.
 */
static __always_inline int reject(struct __sk_buff *skb, const struct packet *p)
{
	bool v4 = p->family == 4;

	if (!can_be_answered(p))
		return TC_ACT_SHOT;
	if (p->tuple.protocol == IPPROTO_TCP && !(p->tcp_flags & TCP_RST))
		return v4 ? reset_v4(skb) : reset_v6(skb);
	if (p->tuple.protocol == IPPROTO_UDP)
		return v4 ? unreachable_v4(skb, 0, PORT_UNREACHABLE_V4)
			  : unreachable_v6(skb, 0, PORT_UNREACHABLE_V6);
	return TC_ACT_SHOT;
}

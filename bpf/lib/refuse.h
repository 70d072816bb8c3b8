// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* "Port unreachable" to a pod, so that its connect() fails at once and not by its time limit. */
#pragma once
#include "common.h"
#include "endpoint.h"
#include "parse.h"

#define PORT_UNREACHABLE_V4 3 /* RFC 792: code of ICMP_DEST_UNREACH */
#define PORT_UNREACHABLE_V6 4 /* RFC 4443 3.1: code of ICMPV6_DEST_UNREACH */
#define QUOTED_L4           8

inline_always __u16 fold_checksum(__s64 sum)
{
	__u32 s = (__u32)sum;

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}

struct refusal_v4 {
	struct iphdr ip;
	struct icmp_header icmp;
	__u8 quote[sizeof(struct iphdr) + QUOTED_L4];
};

struct refusal_v6 {
	struct ipv6hdr ip;
	struct icmp_header icmp;
	__u8 quote[sizeof(struct ipv6hdr) + QUOTED_L4];
};

/* Turns the packet into the answer. Returns 0, or -1 when it cannot be answered. */
inline_always int write_refusal_v4(struct __sk_buff *skb)
{
	struct refusal_v4 r = {};
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
	r.icmp.code = PORT_UNREACHABLE_V4;
	r.icmp.checksum = fold_checksum(bpf_csum_diff(
		NULL, 0, (__be32 *)&r.icmp, sizeof(r.icmp) + sizeof(r.quote), 0));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &r, sizeof(r), BPF_F_INVALIDATE_HASH) ? -1 : 0;
}

inline_always int write_refusal_v6(struct __sk_buff *skb)
{
	struct refusal_v6 r = {};
	struct ipv6hdr *quoted = (struct ipv6hdr *)r.quote;
	struct {
		__be32 length;
		__be32 next;
	} pseudo = { bpf_htonl(sizeof(r.icmp) + sizeof(r.quote)), bpf_htonl(IPPROTO_ICMPV6) };
	__s64 sum;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, r.quote, sizeof(r.quote)) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + sizeof(r), 0))
		return -1;
	r.ip.version = 6;
	r.ip.payload_len = bpf_htons(sizeof(r.icmp) + sizeof(r.quote));
	r.ip.nexthdr = IPPROTO_ICMPV6;
	r.ip.hop_limit = 64;
	r.ip.saddr = quoted->daddr;
	r.ip.daddr = quoted->saddr;
	r.icmp.type = ICMPV6_DEST_UNREACH;
	r.icmp.code = PORT_UNREACHABLE_V6;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&r.ip.saddr, 32, sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&r.icmp, sizeof(r.icmp) + sizeof(r.quote), sum);
	r.icmp.checksum = fold_checksum(sum);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &r, sizeof(r), BPF_F_INVALIDATE_HASH) ? -1 : 0;
}

/*
 * Answers a pod's packet that has nowhere to go, as the destination would without a listener. The
 * packet is consumed. Returns the TC verdict.
 */
__noinline int refuse(struct __sk_buff *skb, const struct packet *p)
{
	struct endpoint *ep = endpoint_by_ifindex(skb->ifindex);
	struct {
		__u8 destination[6];
		__u8 source[6];
	} ethernet;
	bool v4;

	if (!ep || !p || (p->flags & (PACKET_FRAGMENT | PACKET_ICMP_ERROR)))
		return TC_ACT_SHOT;
	if (p->tuple.protocol != IPPROTO_TCP && p->tuple.protocol != IPPROTO_UDP)
		return TC_ACT_SHOT;
	v4 = p->family == 4;
	/* options and extensions would have to be quoted with it */
	if (p->l4 != ETH_HLEN + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)))
		return TC_ACT_SHOT;
	if (v4 ? write_refusal_v4(skb) : write_refusal_v6(skb))
		return TC_ACT_SHOT;
	__builtin_memcpy(ethernet.destination, ep->mac, 6);
	__builtin_memcpy(ethernet.source, ep->host_mac, 6);
	if (bpf_skb_store_bytes(skb, 0, &ethernet, sizeof(ethernet), 0))
		return TC_ACT_SHOT;
	return bpf_redirect_peer(skb->ifindex, 0);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The parser for skb programs. Functions of their own: the verifier walks through them once, and
 * not once for each of the thousand ways through the rest.
 */
#pragma once
#include "parse.h"

/* Ethernet, IPv4 with options or IPv6 with some extensions, TCP. */
#define HEADERS_LENGTH 94
/* Ethernet, IPv6, ICMPv6, and of the quote IPv6 with extensions and ports. */
#define QUOTE_LENGTH 190

/* Makes the linear part of the packet hold `length` bytes, if it has so many. */
static __always_inline void pull_headers(struct __sk_buff *skb, __u32 length)
{
	if ((void *)(long)skb->data + length > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, skb->len < length ? skb->len : length);
}

/* The packet that an ICMP error quotes. Returns 0 or a negative drop reason. */
__noinline int parse_quoted(struct __sk_buff *skb, struct packet *p)
{
	if (!p)
		return DROP(INVALID_PACKET);
	pull_headers(skb, QUOTE_LENGTH);
	return parse_quote(skb, p);
}

__noinline int parse_linear(struct __sk_buff *skb, struct packet *p)
{
	if (!p)
		return DROP(INVALID_PACKET);
	return parse_packet(skb, ETH_HLEN, p->family, p);
}

/* The rare rest of parse_frame(), after parse_linear() returned `err`. */
__noinline int parse_further(struct __sk_buff *skb, struct packet *p, int err)
{
	if (!p)
		return DROP(INVALID_PACKET);
	if ((err == DROP(CT_INVALID_HEADER) || err == DROP(INVALID_EXTENSION_HEADER)) &&
	    skb->len > (__u32)((long)skb->data_end - (long)skb->data)) {
		/* options or extensions put the header out of the linear part */
		pull_headers(skb, HEADERS_LENGTH + 60);
		err = parse_linear(skb, p);
	}
	if (!err && (p->flags & PACKET_ICMP_ERROR))
		err = parse_quoted(skb, p);
	return err;
}

/*
 * Describes the packet, which is zeroed before. Returns 0, a negative drop reason, or 1 when it is
 * not IP.
 */
static __always_inline int parse_frame(struct __sk_buff *skb, struct packet *p)
{
	int err;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		p->family = 4;
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		p->family = 6;
	else
		return 1;
	pull_headers(skb, p->family == 4 ? ETH_HLEN + 40 : ETH_HLEN + 60);
	err = parse_linear(skb, p);
	if (unlikely(err || (p->flags & PACKET_ICMP_ERROR)))
		err = parse_further(skb, p, err);
	return err;
}

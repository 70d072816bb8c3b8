// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* From bytes to a packet's description, for both families and for skb and XDP alike. */
#pragma once
#include "common.h"
#include "reasons.h"

enum packet_flags {
	PACKET_FRAGMENT = 1,	   /* part of a fragmented datagram */
	PACKET_FRAGMENT_LATER = 2, /* not its first part: no L4 header in this packet */
	PACKET_ICMP_ERROR = 4,	   /* `inner` is the packet that the error is about */
	PACKET_INNER_PORTS = 8,	   /* the quoted part reaches the inner ports */
	PACKET_TRANSLATED = 16,	   /* sent to a service: `inner.destination` is its frontend */
	PACKET_REMAPPED = 32,	   /* and the source port is remapped */
};

/*
 * Addresses, ports and protocol. ICMP echo has its identifier as both ports, other ICMP its type
 * and code in two ports that differ; other protocols have 0.
 */
struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad[3];
};

/* Differs from flow to flow, above all in its upper bits: cheap, and nothing to rely on elsewhere.
 */
static __always_inline __u32 tuple_spread(const struct tuple *t)
{
	__u32 ports = (__u32)t->source_port << 16 | t->destination_port;

	return (ports ^ WORD(&t->source, 3) ^ WORD(&t->destination, 3)) * 0x9e3779b1;
}

struct packet {
	struct tuple tuple;
	struct tuple inner; /* with PACKET_ICMP_ERROR, as quoted */
	__u32 fragment_id;
	__be32 sequence; /* TCP */
	__be32 acknowledgement;
	__u16 l3;	/* offset of the IP header */
	__u16 l4;	/* offset of the L4 header */
	__u16 inner_l3; /* with PACKET_ICMP_ERROR */
	__u16 inner_l4;
	__u8 family; /* 4 or 6 */
	__u8 flags;  /* enum packet_flags */
	__u8 tcp_flags;
	__u8 ttl;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 pad[2];
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* The first segment of a connection. */
static __always_inline bool tcp_begins(__u8 flags)
{
	return (flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/*
 * The last acknowledgement of one direction, and with it what the other may send: a segment that
 * ends a connection counts when it lies in the window behind it, as in the kernel's conntrack. The
 * window is the largest that senders have, as its scale is not known.
 */
#define TCP_WINDOW (4 << 20)

/* Whether a segment with that sequence number may be the next one to who has acknowledged so far.
 */
static __always_inline bool tcp_in_window(__be32 sequence, __u32 acknowledged)
{
	return bpf_ntohl(sequence) - acknowledged < TCP_WINDOW;
}

/*
 * Whether to keep `acknowledgement` in place of `acknowledged`. Steps of less than `step` are not
 * kept, which leaves the row clean; those out of the window are not believed.
 */
static __always_inline bool tcp_acknowledges(__be32 acknowledgement, __u32 acknowledged, __u32 step)
{
	__u32 more = bpf_ntohl(acknowledgement) - acknowledged;

	return more >= step && more < TCP_WINDOW;
}

#define IPV6_EXTENSIONS_MAX 5

/* What programs get: XDP programs define both beforehand. */
#ifndef CONTEXT
#define CONTEXT		     struct __sk_buff
#define CONTEXT_IFINDEX(ctx) ((ctx)->ifindex)
#endif

/* Where a header ends, and what follows it. */
struct cursor {
	__u32 offset;
	__u32 fragment_id; /* as in the packet */
	__u8 protocol;
	__u8 fragment; /* enum packet_flags */
};

static __always_inline int parse_ipv4(void *data, void *end, __u32 at, struct tuple *t,
				      struct cursor *c, __u8 *ttl)
{
	struct iphdr *ip = data + at;
	__u16 fragment;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return DROP(INVALID_PACKET);
	address_from_v4(&t->source, ip->saddr);
	address_from_v4(&t->destination, ip->daddr);
	t->protocol = ip->protocol;
	*ttl = ip->ttl;
	fragment = bpf_ntohs(ip->frag_off);
	c->fragment = 0;
	if (fragment & 0x3fff)
		c->fragment = PACKET_FRAGMENT | (fragment & 0x1fff ? PACKET_FRAGMENT_LATER : 0);
	c->fragment_id = ip->id;
	c->protocol = ip->protocol;
	c->offset = at + ip->ihl * 4;
	return 0;
}

static __always_inline bool is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

/*
 * Moves the cursor past IPv6's extension headers. Returns 0 or a negative drop reason. A function
 * of its own: few packets have any, and the verifier walks through the loop once.
 */
__noinline int skip_extensions(CONTEXT *ctx, struct cursor *c)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 offset;
	__u8 next;

	if (!c)
		return DROP(INVALID_EXTENSION_HEADER);
	offset = c->offset;
	next = c->protocol;
	for (int i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
		__u8 *h;

		if (!is_extension(next) || (c->fragment & PACKET_FRAGMENT_LATER))
			break;
		if (offset > 1024)
			return DROP(INVALID_EXTENSION_HEADER);
		h = data + offset;
		if ((void *)(h + 8) > end)
			return DROP(INVALID_EXTENSION_HEADER);
		if (next == IPPROTO_FRAGMENT) {
			__u16 fragment = (h[2] << 8) | h[3];

			if (fragment & 0xfff9)
				c->fragment = PACKET_FRAGMENT |
					      (fragment & 0xfff8 ? PACKET_FRAGMENT_LATER : 0);
			__builtin_memcpy(&c->fragment_id, h + 4, 4);
			offset += 8;
		} else if (next == IPPROTO_AH) {
			offset += (h[1] + 2) * 4;
		} else {
			offset += (h[1] + 1) * 8;
		}
		next = h[0];
	}
	/* more headers than are followed: what comes after them is unknown */
	if (is_extension(next) && !(c->fragment & PACKET_FRAGMENT_LATER))
		return DROP(INVALID_EXTENSION_HEADER);
	c->protocol = next;
	c->offset = offset;
	return 0;
}

static __always_inline int parse_ipv6(CONTEXT *ctx, void *data, void *end, __u32 at,
				      struct tuple *t, struct cursor *c, __u8 *ttl)
{
	struct ipv6hdr *ip = data + at;
	int err;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return DROP(INVALID_PACKET);
	__builtin_memcpy(&t->source, &ip->saddr, 16);
	__builtin_memcpy(&t->destination, &ip->daddr, 16);
	/* a mapped address on the wire would pass for an IPv4 one (RFC 4942 2.2) */
	if (address_is_v4(&t->source) || address_is_v4(&t->destination))
		return DROP(INVALID_PACKET);
	*ttl = ip->hop_limit;
	c->protocol = ip->nexthdr;
	c->offset = at + sizeof(*ip);
	c->fragment = 0;
	c->fragment_id = 0;
	if (unlikely(is_extension(c->protocol))) {
		err = skip_extensions(ctx, c);
		if (err)
			return err;
	}
	t->protocol = c->protocol;
	return 0;
}

/* The first bytes after the IP header as ports. Returns false when the packet is too short. */
static __always_inline bool parse_ports(void *data, void *end, __u32 at, struct tuple *t)
{
	__be16 *ports = data + at;

	if (at > 1500 || (void *)(ports + 2) > end)
		return false;
	t->source_port = ports[0];
	t->destination_port = ports[1];
	return true;
}

/* IPv4 options, or IPv6 extensions. */
static __always_inline bool has_options(const struct packet *p)
{
	return p->l4 - p->l3 != (p->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

static __always_inline bool icmp_is_error(__u8 family, __u8 type)
{
	if (family == 4)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
		       type == ICMP_PARAMETERPROB;
	return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
}

static __always_inline bool icmp_is_echo(__u8 family, __u8 type)
{
	if (family == 4)
		return type == ICMP_ECHO || type == ICMP_ECHOREPLY;
	return type == ICMPV6_ECHO_REQUEST || type == ICMPV6_ECHO_REPLY;
}

/* The ports of an ICMP header: the flow of each identifier, or of each type, is one of its own. */
static __always_inline void icmp_ports(__u8 family, const __u8 *icmp, struct tuple *t)
{
	if (icmp_is_echo(family, icmp[0])) {
		t->source_port = *(__be16 *)(icmp + 4);
		t->destination_port = t->source_port;
	} else {
		t->source_port = *(__be16 *)icmp;
		t->destination_port = ~t->source_port;
	}
}

/*
 * Describes the packet whose IP header is at `at`, as far as its linear part goes. Returns 0 or a
 * negative drop reason. The caller has zeroed `p` and checked the ethertype against `family`.
 */
static __always_inline int parse_packet(CONTEXT *ctx, __u32 at, __u8 family, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct cursor c = {};
	int err;

	p->l3 = at;
	if (family == 4)
		err = parse_ipv4(data, end, at, &p->tuple, &c, &p->ttl);
	else
		err = parse_ipv6(ctx, data, end, at, &p->tuple, &c, &p->ttl);
	if (err)
		return err;
	p->l4 = c.offset;
	p->flags = c.fragment;
	p->fragment_id = c.fragment_id;
	if (c.fragment & PACKET_FRAGMENT_LATER)
		return 0;

	if (c.offset > 1024)
		return DROP(CT_INVALID_HEADER);
	switch (c.protocol) {
	case IPPROTO_TCP: {
		struct tcphdr *tcp = data + c.offset;

		if ((void *)(tcp + 1) > end)
			return DROP(CT_INVALID_HEADER);
		p->tuple.source_port = tcp->source;
		p->tuple.destination_port = tcp->dest;
		p->tcp_flags = ((__u8 *)tcp)[13];
		p->sequence = tcp->seq;
		p->acknowledgement = tcp->ack_seq;
		return 0;
	}
	case IPPROTO_UDP: {
		struct udphdr *udp = data + c.offset;

		if ((void *)(udp + 1) > end)
			return DROP(CT_INVALID_HEADER);
		p->tuple.source_port = udp->source;
		p->tuple.destination_port = udp->dest;
		return 0;
	}
	case IPPROTO_SCTP:
		return parse_ports(data, end, c.offset, &p->tuple) ? 0 : DROP(CT_INVALID_HEADER);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: {
		__u8 *icmp = data + c.offset;

		if ((c.protocol == IPPROTO_ICMP) != (family == 4))
			return DROP(UNKNOWN_L4);
		if ((void *)(icmp + 8) > end)
			return DROP(CT_INVALID_HEADER);
		p->icmp_type = icmp[0];
		p->icmp_code = icmp[1];
		icmp_ports(family, icmp, &p->tuple);
		if (icmp_is_error(family, icmp[0]))
			p->flags |= PACKET_ICMP_ERROR; /* parse_quote() is next */
		return 0;
	}
	default:
		return 0;
	}
}

/* Whether an ICMP error goes to the sender of the packet that it quotes. */
static __always_inline bool error_is_to_quoted_sender(const struct packet *p)
{
	return address_equal(&p->tuple.destination, &p->inner.source);
}

/* The packet that an ICMP error quotes; a short quote leaves PACKET_INNER_PORTS unset. */
static __always_inline int parse_quote(CONTEXT *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct cursor c = {};
	__u32 at = p->l4 + 8;
	__u8 ttl;
	int err;

	if (at > 1500)
		return DROP(INVALID_PACKET);
	p->inner_l3 = at;
	if (p->family == 4)
		err = parse_ipv4(data, end, at, &p->inner, &c, &ttl);
	else
		err = parse_ipv6(ctx, data, end, at, &p->inner, &c, &ttl);
	if (err)
		return err;
	p->inner_l4 = c.offset;
	if (c.fragment & PACKET_FRAGMENT_LATER)
		return 0;
	if (c.protocol == IPPROTO_TCP || c.protocol == IPPROTO_UDP) {
		if (parse_ports(data, end, c.offset, &p->inner))
			p->flags |= PACKET_INNER_PORTS;
	} else if (c.protocol == IPPROTO_ICMP || c.protocol == IPPROTO_ICMPV6) {
		__u8 *icmp = data + c.offset;

		if (c.offset > 1500 || (void *)(icmp + 8) > end)
			return 0;
		icmp_ports(p->family, icmp, &p->inner);
		p->flags |= PACKET_INNER_PORTS;
	}
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Rewriting and encapsulation of packets by direct access (XDP only). */
#pragma once
#include "common.h"
#include "dsr_option.h"
#include "nat.h"
#include "parse.h"
#include "reasons.h"

#define IP_LENGTH(family) ((family) == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr))

/* Incremental checksum update (RFC 1624). */
static __always_inline void change(__u64 *sum, __u32 from, __u32 to)
{
	*sum += (__u64)(__u32)~from + to;
}

static __always_inline void change_address(__u64 *sum, __u8 family, const struct address *from,
					   const struct address *to)
{
	if (family == 6) {
		change(sum, WORD(from, 0), WORD(to, 0));
		change(sum, WORD(from, 1), WORD(to, 1));
		change(sum, WORD(from, 2), WORD(to, 2));
	}
	change(sum, WORD(from, 3), WORD(to, 3));
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u16 changed(__u16 checksum, __u64 sum)
{
	return ~fold(sum + (__u16)~checksum);
}

/* The new source and destination of a packet. */
struct rewriting {
	const struct address *source;
	const struct address *destination;
	__be16 source_port;
	__be16 destination_port;
};

/* Writes source and destination and decrements the TTL. Returns false when the packet is too short.
 */
static __always_inline bool xdp_rewrite(struct xdp_md *ctx, const struct flow *w,
					const struct rewriting *to)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 addresses = 0, ports = 0;
	__be16 *check, *l4;

	change_address(&addresses, w->family, &w->tuple.source, to->source);
	change_address(&addresses, w->family, &w->tuple.destination, to->destination);
	change(&ports, w->tuple.source_port, to->source_port);
	change(&ports, w->tuple.destination_port, to->destination_port);
	if (w->family == 4) {
		struct iphdr *ip = data + ETH_HLEN;
		__u64 header = addresses;

		l4 = (void *)(ip + 1);
		if ((void *)l4 + sizeof(struct udphdr) > end)
			return false;
		ip->saddr = WORD(to->source, 3);
		ip->daddr = WORD(to->destination, 3);
		change(&header, w->ttl, w->ttl - 1); /* in memory the first byte of its word */
		ip->ttl = w->ttl - 1;
		ip->check = changed(ip->check, header);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		l4 = (void *)(ip + 1);
		if ((void *)l4 + sizeof(struct udphdr) > end)
			return false;
		__builtin_memcpy(&ip->saddr, to->source, 16);
		__builtin_memcpy(&ip->daddr, to->destination, 16);
		ip->hop_limit = w->ttl - 1;
	}
	l4[0] = to->source_port;
	l4[1] = to->destination_port;
	if (w->tuple.protocol == IPPROTO_TCP) {
		check = (void *)l4 + offsetof(struct tcphdr, check);
		if ((void *)(check + 1) > end)
			return false;
		*check = changed(*check, addresses + ports);
	} else {
		check = (void *)l4 + offsetof(struct udphdr, check);
		if (*check) {
			*check = changed(*check, addresses + ports);
			if (!*check)
				*check = 0xffff;
		}
	}
	return true;
}

static __always_inline bool write_ethernet(struct xdp_md *ctx, const __u8 *destination,
					   const __u8 *source)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memcpy(eth->h_dest, destination, 6);
	__builtin_memcpy(eth->h_source, source, 6);
	return true;
}

/* Encapsulates the packet in an IP header of the same family (RFC 2003, RFC 2473). */
static __always_inline bool xdp_encap_ip(struct xdp_md *ctx, const struct flow *w,
					 const struct address *source,
					 const struct address *destination)
{
	__u16 type = w->family == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	struct ethhdr *eth;
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, -(int)IP_LENGTH(w->family)))
		return false;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	if (w->family == 4) {
		struct iphdr *ip = data + ETH_HLEN;
		__u32 *words = (__u32 *)ip;
		__u64 sum;

		if ((void *)(ip + 1) > end)
			return false;
		words[0] = 0x45 | (__u32)bpf_htons(w->length + sizeof(*ip)) << 16;
		words[1] = (__u32)bpf_htons(0x4000)
			   << 16; /* DF: the MTU is checked for the inner packet */
		words[2] = 64 | IPPROTO_IPIP << 8;
		words[3] = WORD(source, 3);
		words[4] = WORD(destination, 3);
		sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
		ip->check = ~fold(sum);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return false;
		*(__u32 *)ip = 0x60;
		ip->payload_len = bpf_htons(w->length);
		ip->nexthdr = IPPROTO_IPV6;
		ip->hop_limit = 64;
		__builtin_memcpy(&ip->saddr, source, 16);
		__builtin_memcpy(&ip->daddr, destination, 16);
	}
	eth->h_proto = type;
	return true;
}

static __always_inline int xdp_option_v4(struct xdp_md *ctx, const struct flow *w)
{
	struct option_v4 *option;
	struct iphdr *ip;
	__u64 words[4], sum = 0;
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*option)))
		return DROP(WRITE_ERROR);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	ip = data + ETH_HLEN;
	option = (void *)(ip + 1);
	if ((void *)(option + 1) > end)
		return DROP(WRITE_ERROR);
	/* Ethernet and IP headers move up: 34 bytes, the last of them twice */
	__builtin_memcpy(words, data + 8, 32);
	*(__u16 *)(data + 32) = *(__u16 *)(data + 40);
	__builtin_memcpy(data, words, 32);
	change(&sum, *(__u32 *)ip, 0x47 | (__u32)bpf_htons(w->length + sizeof(*option)) << 16);
	*(__u32 *)ip = 0x47 | (__u32)bpf_htons(w->length + sizeof(*option)) << 16;
	option->type = OPTION_V4_TYPE;
	option->length = sizeof(*option);
	option->port = w->tuple.destination_port;
	option->address = WORD(&w->tuple.destination, 3);
	sum += (__u64)((__u32 *)option)[0] + ((__u32 *)option)[1];
	ip->check = changed(ip->check, sum);
	return 0;
}

static __always_inline int xdp_option_v6(struct xdp_md *ctx, const struct flow *w)
{
	struct option_v6 *option;
	struct ipv6hdr *ip;
	__u64 words[6];
	__u16 last[3];
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*option)))
		return DROP(WRITE_ERROR);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	ip = data + ETH_HLEN;
	option = (void *)(ip + 1);
	if ((void *)(option + 1) > end)
		return DROP(WRITE_ERROR);
	/* Ethernet and IP headers move up: 54 bytes */
	__builtin_memcpy(words, data + 24, 48);
	__builtin_memcpy(last, data + 72, 6);
	__builtin_memcpy(data, words, 48);
	__builtin_memcpy(data + 48, last, 6);
	option->next = ip->nexthdr;
	option->words = sizeof(*option) / 8 - 1;
	option->type = OPTION_V6_TYPE;
	option->length = OPTION_V6_LENGTH;
	__builtin_memcpy(option->address, &w->tuple.destination, 16);
	option->port = w->tuple.destination_port;
	option->pad[0] = 1;
	option->pad[1] = 0;
	ip->nexthdr = IPPROTO_DSTOPTS;
	ip->payload_len = bpf_htons(w->length - sizeof(*ip) + sizeof(*option));
	return 0;
}

/* Adds the IP option that carries the frontend. Returns 0 or a negative drop reason. */
__noinline int xdp_add_dsr_option(struct xdp_md *ctx, const struct flow *w)
{
	if (!w)
		return DROP(WRITE_ERROR);
	return w->family == 4 ? xdp_option_v4(ctx, w) : xdp_option_v6(ctx, w);
}

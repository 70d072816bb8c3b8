// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Direct server return: the backend's node replies to the client itself. The frontend is carried by
 * an IP-in-IP header or by an IP option (skb only).
 */
#pragma once
#include "dsr_option.h"
#include "fragment.h"
#include "ipcache.h"
#include "parse_skb.h"
#include "rewrite.h"
#include "service.h"
#include "service_dnat.h"

/* For a change of headers: the size of a datagram's segments is the sender's, and stays. */
static __always_inline __u64 room_flags(const struct __sk_buff *skb, __u8 protocol)
{
	return skb->gso_size && protocol == IPPROTO_UDP ? BPF_F_ADJ_ROOM_FIXED_GSO : 0;
}

static __always_inline int add_option_v4(struct __sk_buff *skb, const struct packet *p)
{
	struct option_v4 option = {.type = OPTION_V4_TYPE, .length = sizeof(option)};
	struct iphdr ip;

	if (bpf_skb_adjust_room(skb, sizeof(option), BPF_ADJ_ROOM_NET,
				room_flags(skb, p->tuple.protocol)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return DROP(WRITE_ERROR);
	option.address = WORD(&p->inner.destination, 3);
	option.port = p->inner.destination_port;
	ip.ihl = (sizeof(ip) + sizeof(option)) / 4;
	ip.tot_len = bpf_htons(bpf_ntohs(ip.tot_len) + sizeof(option));
	ip.check = 0;
	ip.check = fold_checksum(
	    bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip),
			  bpf_csum_diff(NULL, 0, (__be32 *)&option, sizeof(option), 0)));
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(ip), &option, sizeof(option), 0))
		return DROP(WRITE_ERROR);
	return 0;
}

static __always_inline int add_option_v6(struct __sk_buff *skb, const struct packet *p)
{
	struct option_v6 option = {
	    .type = OPTION_V6_TYPE, .length = OPTION_V6_LENGTH, .words = 2, .pad = {1, 0}};
	struct ipv6hdr ip;

	if (bpf_skb_adjust_room(skb, sizeof(option), BPF_ADJ_ROOM_NET,
				room_flags(skb, p->tuple.protocol)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return DROP(WRITE_ERROR);
	__builtin_memcpy(option.address, p->inner.destination.bytes, 16);
	option.port = p->inner.destination_port;
	option.next = ip.nexthdr;
	ip.nexthdr = IPPROTO_DSTOPTS;
	ip.payload_len = bpf_htons(bpf_ntohs(ip.payload_len) + sizeof(option));
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(ip), &option, sizeof(option), 0))
		return DROP(WRITE_ERROR);
	return 0;
}

/* Adds the IP option that carries the frontend of a translated packet. */
__noinline int dsr_add_option(struct __sk_buff *skb, struct packet *p)
{
	int err;

	if (!p)
		return DROP(WRITE_ERROR);
	err = p->family == 4 ? add_option_v4(skb, p) : add_option_v6(skb, p);
	p->l4 += OPTION_LENGTH(p->family);
	return err;
}

/* Reads the frontend from the IP option; packets without a valid one are left unmodified. */
__noinline int dsr_read_option(struct __sk_buff *skb, struct packet *p)
{
	struct dsr_frontend_key key = {};

	if (!p || p->flags & (PACKET_ICMP_ERROR | PACKET_FRAGMENT_LATER))
		return 0;
	if (p->family == 4) {
		struct option_v4 option;

		if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct iphdr), &option,
				       sizeof(option)) ||
		    option.type != OPTION_V4_TYPE || option.length != sizeof(option))
			return 0;
		address_from_v4(&key.frontend, option.address);
		key.port = option.port;
	} else {
		struct option_v6 option;

		if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), &option,
				       sizeof(option)) ||
		    option.type != OPTION_V6_TYPE || option.length != OPTION_V6_LENGTH)
			return 0;
		__builtin_memcpy(&key.frontend, option.address, 16);
		key.port = option.port;
	}
	key.backend = p->tuple.destination;
	key.protocol = p->tuple.protocol;
	/* options can be forged: accept known frontends of this backend only */
	if (!bpf_map_lookup_elem(&pilus_dsr_frontends, &key))
		return 0;
	p->flags |= PACKET_TRANSLATED;
	p->inner.destination = key.frontend;
	p->inner.destination_port = key.port;
	return 0;
}

/* Encapsulates the packet in an IP header of the same family (RFC 2003, RFC 2473). */
__noinline int dsr_encap_ip(struct __sk_buff *skb, struct packet *p, const struct address *source,
			    const struct address *destination)
{
	__u32 length = skb->len - ETH_HLEN;
	__u64 flags;

	if (!p || !source || !destination)
		return DROP(WRITE_ERROR);
	flags = room_flags(skb, p->tuple.protocol);
	if (p->family == 4) {
		struct iphdr ip = {};

		if (bpf_skb_adjust_room(skb, sizeof(ip), BPF_ADJ_ROOM_MAC,
					BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | flags))
			return DROP(WRITE_ERROR);
		ip.version = 4;
		ip.ihl = 5;
		ip.tot_len = bpf_htons(length + sizeof(ip));
		ip.frag_off = bpf_htons(0x4000); /* DF: the MTU was checked for the inner packet */
		ip.ttl = 64;
		ip.protocol = IPPROTO_IPIP;
		ip.saddr = WORD(source, 3);
		ip.daddr = WORD(destination, 3);
		ip.check = fold_checksum(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
		if (bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0))
			return DROP(WRITE_ERROR);
	} else {
		struct ipv6hdr ip = {};

		if (bpf_skb_adjust_room(skb, sizeof(ip), BPF_ADJ_ROOM_MAC,
					BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 | flags))
			return DROP(WRITE_ERROR);
		ip.version = 6;
		ip.payload_len = bpf_htons(length);
		ip.nexthdr = IPPROTO_IPV6;
		ip.hop_limit = 64;
		__builtin_memcpy(&ip.saddr, source, 16);
		__builtin_memcpy(&ip.daddr, destination, 16);
		if (bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0))
			return DROP(WRITE_ERROR);
	}
	p->tuple.source = *source;
	p->tuple.destination = *destination;
	p->tuple.source_port = p->tuple.destination_port = 0;
	p->tuple.protocol = p->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	p->ttl = 64;
	return 0;
}

/*
 * Removes the outer header of a packet that another node sent to a backend here, and rewrites the
 * destination to the backend. Tunnels of the pods themselves are left alone. Returns 1, 0 when
 * there is nothing to remove, or a negative drop reason.
 */
__noinline int dsr_decap_ip(struct __sk_buff *skb, struct packet *p)
{
	struct scratch *t = this_scratch();
	struct packet *inner;
	struct address source;
	__u32 *port, outer;
	int err;

	if (!p || !t || p->flags & PACKET_FRAGMENT || has_options(p))
		return 0;
	source = p->tuple.source;
	if (!other_node(&source))
		return 0;
	outer = p->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	pull_headers(skb, outer + HEADERS_LENGTH + 60);
	inner = &t->inner;
	__builtin_memset(inner, 0, sizeof(*inner));
	inner->family = p->family;
	if (parse_packet(skb, ETH_HLEN + outer, p->family, inner) ||
	    (inner->flags & PACKET_ICMP_ERROR &&
	     (parse_quote(skb, inner) || !error_is_to_quoted_sender(inner))))
		return 0;
	err = fragment_track(inner, 0);
	if (err)
		return err;
	if (inner->flags & PACKET_ICMP_ERROR) {
		t->dsr_frontend.frontend = inner->inner.source;
		t->dsr_frontend.port = inner->inner.source_port;
		t->dsr_frontend.protocol = inner->inner.protocol;
	} else {
		t->dsr_frontend.frontend = inner->tuple.destination;
		t->dsr_frontend.port = inner->tuple.destination_port;
		t->dsr_frontend.protocol = inner->tuple.protocol;
	}
	t->dsr_frontend.backend = p->tuple.destination;
	port = bpf_map_lookup_elem(&pilus_dsr_frontends, &t->dsr_frontend);
	if (!port)
		return 0;
	t->target.address = p->tuple.destination;
	t->target.port = *port;
	if (bpf_skb_adjust_room(skb, -(int)outer, BPF_ADJ_ROOM_MAC,
				room_flags(skb, inner->tuple.protocol)))
		return DROP(WRITE_ERROR);
	inner->l3 -= outer;
	inner->l4 -= outer;
	inner->inner_l3 -= outer;
	inner->inner_l4 -= outer;
	*p = *inner;
	err = translate_destination(skb, p, &t->target);
	return err ? err : 1;
}

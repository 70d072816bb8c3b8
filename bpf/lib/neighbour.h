// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Proxy ARP and neighbour discovery: the host's side of the veth pair answers for all addresses. */
#pragma once
#include "common.h"
#include "endpoint.h"
#include "parse.h"

#define ARP_REQUEST		   1
#define ARP_REPLY		   2
#define ND_ROUTER_SOLICITATION	   133
#define ND_NEIGHBOUR_SOLICITATION  135
#define ND_NEIGHBOUR_ADVERTISEMENT 136
#define ND_REDIRECT		   137

struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender_ip[4];
	__u8 target_mac[6];
	__u8 target_ip[4];
} __attribute__((packed));

/* Answers a pod's ARP request for any address but its own. Returns a TC verdict or a reason. */
__noinline int answer_arp(struct __sk_buff *skb)
{
	struct endpoint *ep = endpoint_by_ifindex(skb->ifindex);
	struct {
		__u8 destination[6];
		__u8 source[6];
		__be16 type;
		struct arp arp;
	} __attribute__((packed)) reply = {};
	struct arp request;

	if (!ep)
		return DROP(NO_ENDPOINT);
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &request, sizeof(request)) ||
	    request.hardware != bpf_htons(1) || request.protocol != bpf_htons(ETH_P_IP))
		return DROP(INVALID_PACKET);
	/* the answer to the node's own question */
	if (request.operation == bpf_htons(ARP_REPLY))
		return TC_ACT_OK;
	if (request.operation != bpf_htons(ARP_REQUEST))
		return DROP(INVALID_PACKET);
	/* its own address: a probe for duplicates, which must stay unanswered */
	if (!__builtin_memcmp(request.target_ip, &ep->ipv4.bytes[12], 4)) {
		count(REASON_IGNORED_MULTICAST, METRIC_EGRESS, skb->len);
		return TC_ACT_SHOT;
	}

	__builtin_memcpy(reply.destination, request.sender_mac, 6);
	__builtin_memcpy(reply.source, ep->host_mac, 6);
	reply.type = bpf_htons(ETH_P_ARP);
	reply.arp = request;
	reply.arp.operation = bpf_htons(ARP_REPLY);
	__builtin_memcpy(reply.arp.sender_mac, ep->host_mac, 6);
	__builtin_memcpy(reply.arp.sender_ip, request.target_ip, 4);
	__builtin_memcpy(reply.arp.target_mac, request.sender_mac, 6);
	__builtin_memcpy(reply.arp.target_ip, request.sender_ip, 4);
	if (bpf_skb_store_bytes(skb, 0, &reply, sizeof(reply), 0))
		return DROP(WRITE_ERROR);
	return bpf_redirect(skb->ifindex, 0);
}

struct neighbour_message {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 flags;
	struct address target;
	__u8 option_type;
	__u8 option_length; /* in 8 bytes */
	__u8 mac[6];
};

/* Answers a pod's neighbour solicitation (RFC 4861 7.2.4). Returns a TC verdict or a reason. */
__noinline int answer_neighbour(struct __sk_buff *skb, const struct packet *p)
{
	struct endpoint *ep = endpoint_by_ifindex(skb->ifindex);
	struct neighbour_message m = {};
	struct ipv6hdr ip;
	struct {
		__u8 destination[6];
		__u8 source[6];
	} ethernet;
	struct {
		__be32 length;
		__be32 next;
	} pseudo = {bpf_htonl(sizeof(m)), bpf_htonl(IPPROTO_ICMPV6)};
	__s64 sum;

	if (!ep || !p)
		return DROP(NO_ENDPOINT);
	if (bpf_skb_load_bytes(skb, p->l4, &m, 24))
		return DROP(INVALID_PACKET);
	/* duplicate address detection: from the unspecified address, or about its own */
	if ((HALF(&p->tuple.source, 0) == 0 && HALF(&p->tuple.source, 1) == 0) ||
	    address_equal(&m.target, &ep->ipv6)) {
		count(REASON_IGNORED_MULTICAST, METRIC_EGRESS, skb->len);
		return TC_ACT_SHOT;
	}
	if (p->l4 != ETH_HLEN + sizeof(ip) || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return DROP(INVALID_PACKET);
	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(ip) + sizeof(m), 0))
		return DROP(WRITE_ERROR);

	ip.payload_len = bpf_htons(sizeof(m));
	ip.hop_limit = 255;
	__builtin_memcpy(&ip.daddr, &p->tuple.source, 16);
	__builtin_memcpy(&ip.saddr, &m.target, 16);
	m.type = ND_NEIGHBOUR_ADVERTISEMENT;
	m.code = 0;
	m.checksum = 0;
	m.flags = bpf_htonl(0xe0000000); /* router, solicited, override */
	m.option_type = 2;		 /* target link-layer address */
	m.option_length = 1;
	__builtin_memcpy(m.mac, ep->host_mac, 6);
	__builtin_memcpy(ethernet.destination, ep->mac, 6);
	__builtin_memcpy(ethernet.source, ep->host_mac, 6);

	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip.saddr, 32, sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&m, sizeof(m), sum);
	m.checksum = fold_checksum(sum);

	if (bpf_skb_store_bytes(skb, 0, &ethernet, sizeof(ethernet), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(ip), &m, sizeof(m), BPF_F_INVALIDATE_HASH))
		return DROP(WRITE_ERROR);
	return bpf_redirect(skb->ifindex, 0);
}

#define ND_HOP_LIMIT 255 /* RFC 4861 6.1, 7.1: no router has forwarded it */

/* Neighbour discovery's messages, which are never forwarded. */
static __always_inline bool is_neighbour_discovery(const struct packet *p)
{
	return p->family == 6 && p->tuple.protocol == IPPROTO_ICMPV6 &&
	       p->icmp_type >= ND_ROUTER_SOLICITATION && p->icmp_type <= ND_REDIRECT;
}

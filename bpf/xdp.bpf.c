// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * XDP on the node's devices: the prefilter and the load balancer for external clients. It handles
 * plain packets to services with remote backends; all others, fragments and ICMP errors included,
 * are passed to the host program, which selects the same backends.
 */
#define CONTEXT		     struct xdp_md
#define CONTEXT_IFINDEX(ctx) ((ctx)->ingress_ifindex)
#include "lib/common.h"
#include "lib/config.h"
#include "lib/balance.h"
#include "lib/events.h"
#include "lib/nat.h"
#include "lib/next_hop.h"
#include "lib/node.h"
#include "lib/prefilter.h"
#include "lib/service.h"
#include "lib/xdp_packet.h"

/* Sends the packet to the next hop through the ingress device or another one. */
static __always_inline int transmit(struct xdp_md *ctx, const struct next_hop *hop)
{
	if (!write_ethernet(ctx, hop->next_mac, hop->own_mac))
		return XDP_DROP;
	count(REASON_FORWARDED, METRIC_EGRESS, (long)ctx->data_end - (long)ctx->data);
	return hop->ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(hop->ifindex, 0);
}

/* SNAT: the backend replies to this node. Returns 0 or a negative drop reason. */
static __always_inline int forward_snat(struct xdp_md *ctx, const struct flow *w,
					const struct backend *b, const struct address *own)
{
	struct rewriting to = {};
	struct address source = *own;
	struct target target = {};
	int port;

	target.address = b->address;
	target.port = b->port;
	port = nat_find(ctx, w, &target, &source);
	if (port < 0)
		return port;
	to.source = &source;
	to.source_port = port;
	to.destination = &b->address;
	to.destination_port = b->port;
	return xdp_rewrite(ctx, w, &to) ? 0 : DROP(WRITE_ERROR);
}

/* DSR: the backend replies to the client; the first packets carry the frontend in an IP option. */
static __always_inline int forward_dsr_option(struct xdp_md *ctx, const struct flow *w,
					      const struct backend *b, bool with_option)
{
	struct rewriting to = {};

	to.source = &w->tuple.source;
	to.source_port = w->tuple.source_port;
	to.destination = &b->address;
	to.destination_port = b->port;
	if (!xdp_rewrite(ctx, w, &to))
		return DROP(WRITE_ERROR);
	return with_option ? xdp_add_dsr_option(ctx, w) : 0;
}

/* A packet to a service. Packets that need the stack are passed unmodified. */
static __always_inline int load_balance(struct xdp_md *ctx, const struct flow *w,
					const struct service *s, const struct node *node)
{
	const struct address *own = w->family == 4 ? &node->ipv4 : &node->ipv6;
	bool begins = tcp_begins(w->tcp_flags), with_option = false;
	__u32 row, length = w->length;
	struct backend *b;
	int err;

	if (unlikely(!(s->flags & SERVICE_EXTERNAL) || s->flags & SERVICE_SOURCE_RANGES ||
		     w->ttl <= 1 || !(HALF(own, 0) | HALF(own, 1)) ||
		     address_is_no_source(&w->tuple.source)))
		return XDP_PASS;
	err = balance(s, SCOPE_EXTERNAL, &w->tuple, begins, SHARE_OF_NODE);
	if (err <= 0)
		return XDP_PASS;
	row = err;
	b = bpf_map_lookup_elem(&pilus_backends, &row);
	if (!b || b->flags || find_next_hop(ctx, own, b))
		return XDP_PASS;
	if (s->flags & SERVICE_DSR_IPIP) {
		length += IP_LENGTH(w->family);
	} else if (s->flags & SERVICE_DSR_OPTION && (begins || w->tuple.protocol == IPPROTO_UDP)) {
		length += OPTION_LENGTH(w->family);
		with_option = true;
	}
	if (length > b->hop.mtu)
		return XDP_PASS;
	if (s->flags & SERVICE_DSR_IPIP)
		err = xdp_encap_ip(ctx, w, own, &b->address) ? 0 : DROP(WRITE_ERROR);
	else if (s->flags & SERVICE_DSR_OPTION)
		err = forward_dsr_option(ctx, w, b, with_option);
	else
		err = forward_snat(ctx, w, b, own);
	if (err == DROP(WRITE_ERROR))
		goto dropped;
	if (err)
		return XDP_PASS; /* the packet is unmodified */
	count_hit(b, &w->tuple, begins);
	return transmit(ctx, &b->hop);
dropped:
	count(-err, METRIC_EGRESS, length);
	return XDP_DROP;
}

/* The reply of a remote backend to an external client; other packets are passed. */
static __always_inline int reverse_snat(struct xdp_md *ctx, const struct flow *w,
					const struct nat_entry *e)
{
	struct rewriting to = {};
	struct next_hop hop = {};
	struct address client, frontend;

	if (w->ttl <= 1)
		return XDP_PASS;
	client = e->address;
	frontend = e->frontend;
	to.source_port = e->frontend_port;
	to.destination_port = e->port;
	/* masqueraded pods are handled by the host program */
	if (to.source_port == w->tuple.source_port && address_equal(&frontend, &w->tuple.source))
		return XDP_PASS;
	if (look_up_next_hop(ctx, &frontend, &client, &hop) || w->length > hop.mtu)
		return XDP_PASS;
	to.source = &frontend;
	to.destination = &client;
	if (!xdp_rewrite(ctx, w, &to))
		return XDP_DROP;
	return transmit(ctx, &hop);
}

/* Whether the frame is to the device's own MAC: switches flood those for others, too. */
static __always_inline bool is_for_device(struct xdp_md *ctx, const struct ethhdr *eth,
					  const struct node *node)
{
	struct device *device;

	if (likely(node->one_device))
		return mac_equal(eth->h_dest, node->mac);
	device = device_by_ifindex(ctx->ingress_ifindex);
	return device && mac_equal(eth->h_dest, device->mac);
}

SEC("xdp")
int xdp_ingress(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct node *node = this_node();
	struct flow w = {};
	struct nat_entry *e;
	struct service *s;
	__be16 *l4;

	if (!node || (void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		w.family = 4;
		address_from_v4(&w.tuple.source, ip->saddr);
		if (unlikely(node->denied) && prefilter_denies(&w.tuple.source))
			goto denied;
		if (*(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
			return XDP_PASS;
		address_from_v4(&w.tuple.destination, ip->daddr);
		w.tuple.protocol = ip->protocol;
		w.ttl = ip->ttl;
		w.length = bpf_ntohs(ip->tot_len);
		l4 = (void *)(ip + 1);
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		w.family = 6;
		__builtin_memcpy(&w.tuple.source, &ip->saddr, 16);
		if (unlikely(node->denied) && prefilter_denies(&w.tuple.source))
			goto denied;
		__builtin_memcpy(&w.tuple.destination, &ip->daddr, 16);
		w.tuple.protocol = ip->nexthdr;
		w.ttl = ip->hop_limit;
		w.length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
		l4 = (void *)(ip + 1);
	} else {
		return XDP_PASS;
	}
	if (w.tuple.protocol == IPPROTO_TCP) {
		if ((void *)l4 + sizeof(struct tcphdr) > end)
			return XDP_PASS;
		w.tcp_flags = ((__u8 *)l4)[13];
		w.sequence = ((struct tcphdr *)l4)->seq;
		w.acknowledgement = ((struct tcphdr *)l4)->ack_seq;
	} else if (w.tuple.protocol != IPPROTO_UDP || (void *)l4 + sizeof(struct udphdr) > end) {
		return XDP_PASS;
	}
	w.tuple.source_port = l4[0];
	w.tuple.destination_port = l4[1];
	/* answers come first: a translated flow may have the port of a service */
	if (address_equal(&w.tuple.destination, w.family == 4 ? &node->ipv4 : &node->ipv6)) {
		e = nat_lookup_in(&w.tuple, w.tcp_flags, w.sequence, w.acknowledgement);
		if (e)
			return is_for_device(ctx, eth, node) ? reverse_snat(ctx, &w, e) : XDP_PASS;
	}
	s = service_lookup(&w.tuple.destination, w.tuple.destination_port, w.tuple.protocol);
	return s && is_for_device(ctx, eth, node) ? load_balance(ctx, &w, s, node) : XDP_PASS;
denied:
	count(REASON_DENIED_BY_PREFILTER, METRIC_INGRESS, (long)end - (long)data);
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* For benchmarks: makes the packet what it shall be before each run of an XDP program. */
#include "../../bpf/lib/common.h"

#define FRAME_MAX 128

struct before {
	__u32 length;	/* of `frame`, which the packet becomes */
	__u32 flows;	/* a power of two; 0: always the same one */
	__u32 services; /* a power of two, by the destination's last 16 bits; 0: always one */
	__u32 runs;
	__u32 fresh; /* 1: a new flow each time, from `runs` on */
	__u32 pad;
	__u8 frame[FRAME_MAX]; /* Ethernet, IPv4 or IPv6, TCP; checksums are right */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct before);
} before SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

/* A 16-bit word at `word` of a header becomes `to`; the checksums follow (RFC 1624). */
static __always_inline void replace(__u16 *word, __u16 to, __u16 *first, __u16 *second)
{
	__u32 sum = (__u16) ~*word + (__u32)to;

	*word = to;
	sum = (sum & 0xffff) + (sum >> 16);
	if (first) {
		__u32 s = (__u16) ~*first + sum;

		s = (s & 0xffff) + (s >> 16);
		*first = ~((s & 0xffff) + (s >> 16));
	}
	if (second) {
		__u32 s = (__u16) ~*second + sum;

		s = (s & 0xffff) + (s >> 16);
		*second = ~((s & 0xffff) + (s >> 16));
	}
}

SEC("xdp")
int trampoline(struct xdp_md *ctx)
{
	__u32 zero = 0, number, length;
	struct before *b = bpf_map_lookup_elem(&before, &zero);
	void *data, *end;
	__be16 port;

	if (!b)
		return XDP_ABORTED;
	length = (long)ctx->data_end - (long)ctx->data;
	if (length != b->length && bpf_xdp_adjust_head(ctx, (int)(length - b->length)))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + 54 > end)
		return XDP_ABORTED;
	__builtin_memcpy(data, b->frame, 54);
	if (data + 74 <= end)
		__builtin_memcpy(data + 54, b->frame + 54, 20);
	if (!b->flows && !b->fresh)
		goto go;
	number = b->runs++;
	if (b->flows) /* an odd factor makes every number come once, in no order */
		number = (number * 40503u) & (b->flows - 1);
	/* ephemeral, as good as random; of flows with one address each has another */
	port = bpf_htons(1024 + ((number >> 16) + (number * 2654435761u >> 17)) % 64512);
	if (((struct ethhdr *)data)->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;
		struct tcphdr *tcp = (void *)(ip + 1);
		__u16 *source = (__u16 *)&ip->saddr, *destination = (__u16 *)&ip->daddr;

		replace(&source[1], bpf_htons(number & 0xffff), &ip->check, &tcp->check);
		replace(&tcp->source, port, &tcp->check, NULL);
		if (b->services)
			replace(&destination[1], bpf_htons(number * 7 & (b->services - 1)),
				&ip->check, &tcp->check);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;
		struct tcphdr *tcp = (void *)(ip + 1);
		__u16 *source = (__u16 *)&ip->saddr, *destination = (__u16 *)&ip->daddr;

		if ((void *)(tcp + 1) > end)
			return XDP_ABORTED;
		replace(&source[7], bpf_htons(number & 0xffff), &tcp->check, NULL);
		replace(&tcp->source, port, &tcp->check, NULL);
		if (b->services)
			replace(&destination[7], bpf_htons(number * 7 & (b->services - 1)),
				&tcp->check, NULL);
	}
go:
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

/* What the trampoline costs by itself. */
SEC("xdp")
int empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}

struct flow {
	__u8 addresses[32];
	__be16 ports[2];
	__u32 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, struct flow);
	__type(value, __u64);
} flows SEC(".maps");

/* The least that a load balancer does: parse a TCP packet, and one hash look-up. */
SEC("xdp")
int floor_of_all(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct flow key = {};
	struct tcphdr *tcp;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
			return XDP_DROP;
		__builtin_memcpy(key.addresses, &ip->saddr, 8);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end || ip->nexthdr != IPPROTO_TCP)
			return XDP_DROP;
		__builtin_memcpy(key.addresses, &ip->saddr, 32);
	}
	key.ports[0] = tcp->source;
	key.ports[1] = tcp->dest;
	key.protocol = IPPROTO_TCP;
	bpf_map_lookup_elem(&flows, &key);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";

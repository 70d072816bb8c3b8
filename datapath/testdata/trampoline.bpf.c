// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* For tests and benchmarks: makes the packet what it shall be before each run of a program. */
#include "../../bpf/lib/common.h"

#define FRAME_MAX 2048

struct before {
	__u32 identity; /* of the sender, as the tunnel tells it; 0: not through the tunnel */
	__u32 mark;
	__u32 length; /* of `frame`, which overwrites the packet's beginning; 0: leave it */
	__u32 vary;   /* offset of two bytes that are others in each run; 0: none */
	__u32 flows;  /* a power of two: how many values they take, in no order; 0: all, in order */
	__u32 runs;
	__u8 frame[FRAME_MAX];
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

SEC("tc")
int trampoline(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	__u32 zero = 0;
	__u64 length;
	struct before *b = bpf_map_lookup_elem(&before, &zero);

	if (!b)
		return TC_ACT_SHOT;
	length = b->length;
	if (length > FRAME_MAX)
		length = FRAME_MAX;
	barrier_var(length);
	if (length >= ETH_HLEN && bpf_skb_store_bytes(skb, 0, b->frame, length, 0))
		return TC_ACT_SHOT;
	if (b->vary) {
		__u16 number = b->runs++;

		if (b->flows) /* an odd factor makes every number come once */
			number = bpf_htons(1024 + ((number * 40503u) & (b->flows - 1)));
		if (bpf_skb_store_bytes(skb, b->vary, &number, 2, 0))
			return TC_ACT_SHOT;
	}
	skb->mark = b->mark;
	if (b->identity) {
		key.tunnel_id = b->identity;
		/* 192.0.2.2: what is the local address here is the remote one of who receives */
		key.local_ipv4 = 0xc0000202;
		if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 0))
			return TC_ACT_SHOT;
	}
	bpf_tail_call(skb, &target, 0);
	return TC_ACT_SHOT;
}

/* What the trampoline costs by itself. */
SEC("tc")
int empty(struct __sk_buff *skb)
{
	return TC_ACT_OK;
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

/* The least that any program of this kind does: parse a TCP packet, and one hash look-up. */
SEC("tc")
int floor_of_all(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct flow key = {};
	struct tcphdr *tcp;
	__u64 *packets;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
			return TC_ACT_SHOT;
		__builtin_memcpy(key.addresses, &ip->saddr, 8);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end || ip->nexthdr != IPPROTO_TCP)
			return TC_ACT_SHOT;
		__builtin_memcpy(key.addresses, &ip->saddr, 32);
	}
	key.ports[0] = tcp->source;
	key.ports[1] = tcp->dest;
	key.protocol = IPPROTO_TCP;
	packets = bpf_map_lookup_elem(&flows, &key);
	if (!packets) {
		__u64 one = 1;

		bpf_map_update_elem(&flows, &key, &one, BPF_ANY);
		return TC_ACT_OK;
	}
	(*packets)++;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Later fragments that arrive before the first one of their datagram: the ports are in the first
 * alone. They are kept for a while; when the first one arrives at the same device, it and they are
 * received anew, in that order. Senders share sets of cells, so that a flood takes none of the
 * other sets; who is outside shares none with pods.
 */
#pragma once
#include "config.h"
#include "fragment.h"
#include "events.h"

/* Of an IP packet; longer ones are not kept. A power of 2. */
#define HELD_BYTES 2048
/* Per set: the parts of 64 KiB on a link of 1500 bytes. */
#define HELD_EACH 48
#define HELD_SETS 32
/* The first of them are the endpoints', the rest others'. */
#define HELD_LOCAL_SETS 16
#define HOLD_NS		(NS_PER_SECOND / 2)

#define HELD_FREE 0
#define HELD_BUSY (~0ULL) /* a program is reading or writing it */

struct held_fragment {
	__u64 until; /* CLOCK_MONOTONIC, ns; HELD_FREE, HELD_BUSY */
	struct address source;
	struct address destination;
	__u32 id; /* as in the packet */
	__u32 length;
	__u8 protocol;
	__u8 direction; /* enum metric_direction; METRIC_DIRECTIONS: the stack has it, too */
	__u8 pad[2];
	__u32 device;		 /* ifindex */
	__u8 packet[HELD_BYTES]; /* from the IP header on */
};

/* Index: set * HELD_EACH + cell. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HELD_SETS *HELD_EACH);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct held_fragment);
} pilus_held_fragments SEC(".maps");

static __always_inline __u32 held_set_of(const struct packet *p, __u32 sender)
{
	__u32 number = datagram_sender(p, sender);

	return sender ? number % HELD_LOCAL_SETS
		      : HELD_LOCAL_SETS + number % (HELD_SETS - HELD_LOCAL_SETS);
}

static __always_inline struct held_fragment *held_fragment(__u32 set, __u32 i)
{
	__u32 cell = (set & (HELD_SETS - 1)) * HELD_EACH + i;

	return bpf_map_lookup_elem(&pilus_held_fragments, &cell);
}

/* The length, 1 to HELD_BYTES, in a form that the verifier follows. */
static __always_inline __u32 held_length(__u32 length)
{
	length--;
	barrier_var(length);
	return (length & (HELD_BYTES - 1)) + 1;
}

/* Whether the caller has the cell now, which it saw with that time. */
static __always_inline bool held_take(struct held_fragment *h, __u64 seen)
{
	return __sync_val_compare_and_swap(&h->until, seen, HELD_BUSY) == seen;
}

static __always_inline void held_set(struct held_fragment *h, __u64 until)
{
	__sync_lock_test_and_set(&h->until, until);
}

/* What was kept in vain is a drop, unless the stack has had it. */
static __always_inline void held_lost(const struct held_fragment *h)
{
	if (h->direction < METRIC_DIRECTIONS)
		count(REASON_FRAGMENT_NOT_FOUND, h->direction, ETH_HLEN + h->length);
}

static __always_inline bool held_is_of(const struct held_fragment *h, const struct packet *p,
				       __u32 device)
{
	return h->device == device && h->id == p->fragment_id && h->protocol == p->tuple.protocol &&
	       address_equal(&h->source, &p->tuple.source) &&
	       address_equal(&h->destination, &p->tuple.destination);
}

/* Keeps a later fragment whose first one has not arrived. Returns whether it did. */
__noinline int hold_fragment(struct __sk_buff *skb, const struct packet *p, __u32 sender,
			     __u32 direction)
{
	__u32 length = skb->len - ETH_HLEN, set;
	__u64 now = bpf_ktime_get_ns(), until;
	struct held_fragment *h;

	if (!p || length < sizeof(struct iphdr) || length > HELD_BYTES)
		return 0;
	set = held_set_of(p, sender);
	for (int i = 0; i < HELD_EACH; i++) {
		h = held_fragment(set, i);
		if (!h)
			return 0;
		until = h->until;
		if (until > now || !held_take(h, until))
			continue;
		if (until != HELD_FREE)
			held_lost(h);
		h->source = p->tuple.source;
		h->destination = p->tuple.destination;
		h->id = p->fragment_id;
		h->protocol = p->tuple.protocol;
		h->direction = direction;
		h->device = skb->ifindex;
		h->length = length;
		length = held_length(length);
		if (bpf_skb_load_bytes(skb, ETH_HLEN, h->packet, length)) {
			held_set(h, HELD_FREE);
			return 0;
		}
		until = now + HOLD_NS;
		held_set(h, until);
		/* its first one may have arrived meanwhile, on another CPU */
		if (!known_datagram(p, sender) || !held_take(h, until))
			return 1;
		held_set(h, HELD_FREE);
		return 0;
	}
	return 0;
}

/*
 * Receives the first fragment anew, and what was kept of its datagram behind it. Returns whether
 * there was any; the packet is then another, and to be dropped.
 */
__noinline int release_fragments(struct __sk_buff *skb, const struct packet *p, __u32 sender)
{
	struct held_fragment *h;
	__u32 length, set, device = skb->ifindex;
	__u64 now = bpf_ktime_get_ns(), until;
	int released = 0;

	if (!p)
		return 0;
	set = held_set_of(p, sender);
	for (int i = 0; i < HELD_EACH; i++) {
		h = held_fragment(set, i);
		if (!h)
			return released;
		until = h->until;
		if (until <= now || until == HELD_BUSY || !held_is_of(h, p, device) ||
		    !held_take(h, until))
			continue;
		if (!released && bpf_clone_redirect(skb, device, BPF_F_INGRESS)) {
			held_lost(h);
			held_set(h, HELD_FREE);
			return 0;
		}
		released = 1;
		skb->mark &= ~MARK_MASK;
		if (h->direction == METRIC_DIRECTIONS)
			skb->mark |= MARK_STACK_HAS;
		length = held_length(h->length);
		if (bpf_skb_change_tail(skb, ETH_HLEN + length, 0) ||
		    bpf_skb_store_bytes(skb, ETH_HLEN, h->packet, length, BPF_F_RECOMPUTE_CSUM) ||
		    bpf_clone_redirect(skb, device, BPF_F_INGRESS))
			held_lost(h);
		held_set(h, HELD_FREE);
	}
	return released;
}

enum fragment_fate {
	FRAGMENT_GOES_ON,
	FRAGMENT_HELD,	   /* a copy of it will come when its first one has */
	FRAGMENT_RELEASED, /* it comes anew, with what was kept: to be dropped */
};

/* What is to be done with a fragment that a device has received, before fragment_track(). */
static __always_inline int order_fragment(struct __sk_buff *skb, const struct packet *p,
					  __u32 sender, __u32 direction)
{
	if (!(p->flags & PACKET_FRAGMENT_LATER))
		return release_fragments(skb, p, sender) ? FRAGMENT_RELEASED : FRAGMENT_GOES_ON;
	if (known_datagram(p, sender) || !hold_fragment(skb, p, sender, direction))
		return FRAGMENT_GOES_ON;
	return FRAGMENT_HELD;
}

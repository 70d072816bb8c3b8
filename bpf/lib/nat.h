// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Masquerading: pods that leave the cluster take the device's address. A mapping is a pair of rows,
 * one a direction; the row of the way back is inserted first and is the reservation of the port.
 */
#pragma once
#include "common.h"
#include "config.h"
#include "conntrack.h"
#include "rewrite.h"

enum nat_direction {
	NAT_OUT = 0,
	NAT_IN = 1,
};

struct nat_key {
	struct address source; /* as on the wire before the translation */
	struct address destination;
	__be16 source_port; /* ICMP echo: the identifier, in both ports */
	__be16 destination_port;
	__u8 protocol;
	__u8 direction; /* enum nat_direction */
	__u8 pad[2];
};

struct nat_entry {
	struct address address; /* the new source (out) or destination (in) */
	__be16 port;
	__u8 pad[6];
	__u64 used; /* CLOCK_MONOTONIC, ns; renewed at most once a second */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct nat_key);
	__type(value, struct nat_entry);
} pilus_nat SEC(".maps");

/* The node's devices with the addresses that pods take there. Key: ifindex. */
struct device {
	struct address ipv4; /* zero: no masquerading of this family */
	struct address ipv6;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct device);
} pilus_devices SEC(".maps");

#define NAT_TRIES 32

inline_always void nat_make_key(struct nat_key *key, const struct tuple *t, __u8 direction)
{
	key->source = t->source;
	key->destination = t->destination;
	key->source_port = t->source_port;
	key->destination_port = t->destination_port;
	key->protocol = t->protocol;
	key->direction = direction;
	key->pad[0] = key->pad[1] = 0;
}

inline_always void nat_make_reverse_key(struct nat_key *key, const struct tuple *t, __u8 direction)
{
	key->source = t->destination;
	key->destination = t->source;
	key->source_port = t->destination_port;
	key->destination_port = t->source_port;
	key->protocol = t->protocol;
	key->direction = direction;
	key->pad[0] = key->pad[1] = 0;
}

inline_always struct nat_entry *nat_lookup(const struct nat_key *key)
{
	struct nat_entry *e = bpf_map_lookup_elem(&pilus_nat, key);
	__u64 now;

	if (!e)
		return NULL;
	now = bpf_ktime_get_coarse_ns();
	if (now - e->used > NS_PER_SECOND)
		e->used = now;
	return e;
}

/* Whether a socket of the node itself already has this address-port pair towards the destination. */
inline_always bool nat_port_is_the_nodes(struct __sk_buff *skb, const struct nat_key *reverse,
					 __u8 family)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	__u32 size;

	/* as the node would receive the answer */
	if (family == 4) {
		t.ipv4.saddr = WORD(&reverse->source, 3);
		t.ipv4.daddr = WORD(&reverse->destination, 3);
		t.ipv4.sport = reverse->source_port;
		t.ipv4.dport = reverse->destination_port;
		size = sizeof(t.ipv4);
	} else {
		__builtin_memcpy(t.ipv6.saddr, reverse->source.bytes, 16);
		__builtin_memcpy(t.ipv6.daddr, reverse->destination.bytes, 16);
		t.ipv6.sport = reverse->source_port;
		t.ipv6.dport = reverse->destination_port;
		size = sizeof(t.ipv6);
	}
	if (reverse->protocol == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else if (reverse->protocol == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		return false;
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/* Whether the connection that a mapping was made for has run out. */
inline_always bool nat_is_abandoned(const struct nat_key *reverse, const struct nat_entry *back)
{
	struct tuple t = {};
	struct ct_entry *e;
	struct ct_key key;

	t.source = back->address;
	t.destination = reverse->source;
	t.source_port = back->port;
	t.destination_port = reverse->source_port;
	if (reverse->protocol == IPPROTO_ICMP || reverse->protocol == IPPROTO_ICMPV6)
		t.destination_port = back->port;
	t.protocol = reverse->protocol;
	ct_make_key(&t, &key);
	e = bpf_map_lookup_elem(&pilus_ct, &key);
	return !e || e->expires < bpf_ktime_get_coarse_ns();
}

/*
 * Tries the port of `reverse` for the packet's flow: inserts the row of the way back when it is
 * free, otherwise puts the next candidate there. Returns 0 when the port is reserved. A function of
 * its own: the verifier walks through it once, and not once for each try.
 */
__noinline int nat_reserve(struct __sk_buff *skb, const struct packet *p, struct nat_key *reverse,
			   int first)
{
	struct nat_entry *taken, row = {};
	struct nat_key key;
	__u32 span = nat_port_max - nat_port_min + 1, candidate;
	bool icmp;

	if (!p || !reverse)
		return -1;
	/* Linux before 6.4 takes keys and values of maps from the stack, not from arguments */
	key = *reverse;
	icmp = key.protocol == IPPROTO_ICMP || key.protocol == IPPROTO_ICMPV6;
	if (nat_port_is_the_nodes(skb, &key, p->family))
		goto next;
	row.address = p->tuple.source;
	row.port = p->tuple.source_port;
	row.used = bpf_ktime_get_coarse_ns();
	if (!bpf_map_update_elem(&pilus_nat, &key, &row, BPF_NOEXIST))
		return 0;
	taken = bpf_map_lookup_elem(&pilus_nat, &key);
	if (taken && nat_is_abandoned(&key, taken)) {
		struct nat_key forth = {};

		forth.source = taken->address;
		forth.source_port = taken->port;
		forth.destination = key.source;
		forth.destination_port = icmp ? taken->port : key.source_port;
		forth.protocol = key.protocol;
		forth.direction = NAT_OUT;
		bpf_map_delete_elem(&pilus_nat, &forth);
		/* of two CPUs that take it over, one deletes and one inserts */
		if (!bpf_map_delete_elem(&pilus_nat, &key) &&
		    !bpf_map_update_elem(&pilus_nat, &key, &row, BPF_NOEXIST))
			return 0;
	}
next:
	/* one random start, then one after the other */
	candidate = bpf_ntohs(reverse->destination_port);
	if (first)
		candidate = nat_port_min + bpf_get_prandom_u32() % (span ? span : 1);
	else if (candidate++ >= nat_port_max)
		candidate = nat_port_min;
	reverse->destination_port = bpf_htons(candidate);
	if (icmp)
		reverse->source_port = reverse->destination_port;
	return -1;
}

/* Inserts the row of the way out. Returns 0 or an error. */
__noinline int nat_insert_out(const struct packet *p, const struct address *to, __u16 port)
{
	struct nat_entry row = {};
	struct nat_key key;

	if (!p || !to)
		return -1;
	nat_make_key(&key, &p->tuple, NAT_OUT);
	row.address = *to;
	row.port = port;
	row.used = bpf_ktime_get_coarse_ns();
	return bpf_map_update_elem(&pilus_nat, &key, &row, BPF_ANY);
}

/* Makes the mapping of a new flow. Returns the port, network order, or a negative drop reason. */
__noinline int nat_create(struct __sk_buff *skb, const struct packet *p, const struct address *to)
{
	struct nat_key reverse = {};

	if (!p || !to)
		return DROP(NO_NAT_MAPPING);
	reverse.source = p->tuple.destination;
	reverse.destination = *to;
	reverse.source_port = p->tuple.destination_port;
	reverse.destination_port = p->tuple.source_port;
	reverse.protocol = p->tuple.protocol;
	reverse.direction = NAT_IN;
	for (int i = 0; i < NAT_TRIES; i++) {
		if (!nat_reserve(skb, p, &reverse, i == 0))
			goto reserved;
		if (!has_port_to_change(p))
			break;
	}
	return DROP(NO_NAT_MAPPING);
reserved:
	if (!nat_insert_out(p, to, reverse.destination_port))
		return reverse.destination_port;
	bpf_map_delete_elem(&pilus_nat, &reverse);
	return DROP(NO_NAT_MAPPING);
}

/* Translates the source of a packet that leaves through a device of the node. */
inline_always int nat_masquerade(struct __sk_buff *skb, struct packet *p, const struct address *to)
{
	struct nat_key key;
	struct nat_entry *e;
	int err;

	if (p->flags & PACKET_ICMP_ERROR) {
		/* the quoted packet came to the pod: its destination is what was translated */
		nat_make_reverse_key(&key, &p->inner, NAT_OUT);
		e = nat_lookup(&key);
		if (e) {
			err = rewrite_inner(skb, p, REWRITE_DESTINATION, to, e->port);
			if (err)
				return err;
		}
		return rewrite_outer(skb, p, REWRITE_SOURCE, to);
	}
	nat_make_key(&key, &p->tuple, NAT_OUT);
	e = nat_lookup(&key);
	if (e && address_equal(&e->address, to))
		return rewrite(skb, p, REWRITE_SOURCE, to, e->port);
	err = nat_create(skb, p, to);
	if (err < 0)
		return err;
	return rewrite(skb, p, REWRITE_SOURCE, to, err);
}

/* Translates the destination of an answer back. Returns 1 when it did, 0 when there is no mapping. */
inline_always int nat_reverse(struct __sk_buff *skb, struct packet *p)
{
	struct address to;
	struct nat_key key;
	struct nat_entry *e;
	__be16 port;
	int err;

	if (p->flags & PACKET_ICMP_ERROR) {
		nat_make_reverse_key(&key, &p->inner, NAT_IN);
		e = nat_lookup(&key);
		if (!e)
			return 0;
		to = e->address;
		port = e->port;
		err = rewrite_inner(skb, p, REWRITE_SOURCE, &to, port);
		if (!err)
			err = rewrite_outer(skb, p, REWRITE_DESTINATION, &to);
		return err ? err : 1;
	}
	nat_make_key(&key, &p->tuple, NAT_IN);
	e = nat_lookup(&key);
	if (!e)
		return 0;
	to = e->address;
	port = e->port;
	err = rewrite(skb, p, REWRITE_DESTINATION, &to, port);
	return err ? err : 1;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Source NAT to an address of the node: pods that leave the cluster, and external clients of a
 * service with a remote backend. The entry of the reply direction is both the mapping and the
 * reservation of its port. The forward direction has no entry: a flow tries its own port, then the
 * candidates of its hash, until it finds its entry or a free port.
 */
#pragma once
#include "common.h"
#include "config.h"
#include "device.h"
#include "hash.h"
#include "nat_share.h"
#include "parse.h"
#include "reasons.h"
#include "service.h"

enum nat_direction {
	NAT_OUT = 0,
	NAT_IN = 1,
};

/* The tuple of a reply as received. */
struct nat_key {
	struct address source;
	struct address destination;
	__be16 source_port; /* ICMP echo: the identifier, in both ports */
	__be16 destination_port;
	__u8 protocol;
	__u8 pad[3];
};

enum nat_flags {
	NAT_REPLIED = 1,
	NAT_FIN_OUT = 2, /* from the initiator */
	NAT_FIN_IN = 4,
	NAT_RESET = 8,
	NAT_ACKED_OUT = 16, /* `acknowledged` of that direction is set */
	NAT_ACKED_IN = 32,
};

struct nat_entry {
	struct address address;	 /* the initiator */
	struct address frontend; /* the address that it connected to */
	__be16 port;
	__be16 frontend_port;
	__u8 flags; /* enum nat_flags */
	__u8 pad;
	__u16 owner; /* of a share */
	__u64
	    used; /* CLOCK_MONOTONIC, ns; renewed at most once a second, and when it was answered */
	__u32 acknowledged[2]; /* TCP, by enum nat_direction, to NAT_ACK_STEP bytes */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct nat_key);
	__type(value, struct nat_entry);
} pilus_nat SEC(".maps");

#define NAT_TRIES 32

/* Acknowledged bytes that a row lags behind, so that CPUs do not fight for it. */
#define NAT_ACK_STEP 65536

/* After so long a mapping that was never answered gives way to a flow that finds no port. */
#define NAT_UNANSWERED_NS NS_PER_SECOND

/* A flow as received, before translation. */
struct flow {
	struct tuple tuple;
	__u32 length; /* of the IP packet, bytes */
	__u8 family;  /* 4 or 6 */
	__u8 tcp_flags;
	__u8 ttl;
	__u8 fixed;	 /* 1: the protocol has no port that could become another */
	__be32 sequence; /* TCP */
	__be32 acknowledgement;
	__u32 owner; /* of its mapping's share */
};

/* The destination after translation: a backend, or the original one. */
struct target {
	struct address address;
	__be16 port;
	__u8 pad[6];
};

/* An answer to the flow when it leaves with the address `own` and `port`. */
static __always_inline void nat_key_in(struct nat_key *key, const struct flow *f,
				       const struct target *t, const struct address *own,
				       __be16 port)
{
	key->source = t->address;
	key->destination = *own;
	key->source_port = is_icmp(f->tuple.protocol) ? port : t->port;
	key->destination_port = port;
	*(__u32 *)&key->protocol = f->tuple.protocol;
}

static __always_inline bool nat_is_of(const struct nat_entry *e, const struct flow *f)
{
	return e->port == f->tuple.source_port && e->frontend_port == f->tuple.destination_port &&
	       address_equal(&e->address, &f->tuple.source) &&
	       address_equal(&e->frontend, &f->tuple.destination);
}

static __always_inline __u64 nat_lifetime(__u8 protocol, __u8 flags)
{
	if (protocol != IPPROTO_TCP)
		return ct_other_s * NS_PER_SECOND;
	if (flags & NAT_RESET || (flags & NAT_FIN_IN && flags & NAT_FIN_OUT))
		return ct_tcp_closing_s * NS_PER_SECOND;
	if (!(flags & NAT_REPLIED))
		return ct_tcp_opening_s * NS_PER_SECOND;
	return ct_tcp_established_s * NS_PER_SECOND;
}

/* TCP's part of nat_account(): returns `flags` after the segment, as ct_account_tcp(). */
static __always_inline __u8 nat_account_tcp(struct nat_entry *e, __u8 tcp_flags, __be32 sequence,
					    __be32 acknowledgement, int direction, __u8 flags)
{
	__u8 acked[2] = {NAT_ACKED_OUT, NAT_ACKED_IN};
	__u8 fin[2] = {NAT_FIN_OUT, NAT_FIN_IN};
	__u32 d = direction & 1;

	if (tcp_flags & TCP_ACK &&
	    (!(flags & acked[d]) ||
	     tcp_acknowledges(acknowledgement, e->acknowledged[d], NAT_ACK_STEP))) {
		e->acknowledged[d] = bpf_ntohl(acknowledgement);
		flags |= acked[d];
	}
	if (likely(!(tcp_flags & (TCP_FIN | TCP_RST | TCP_SYN))))
		return flags & ~NAT_RESET; /* what a reset was believed by sends no more */
	if (!(tcp_flags & TCP_SYN) && flags & acked[d ^ 1] &&
	    !tcp_in_window(sequence, e->acknowledged[d ^ 1]))
		return flags;
	if (tcp_flags & TCP_RST)
		return flags | NAT_RESET;
	if (tcp_flags & TCP_FIN)
		return flags | fin[d];
	/* the same pair of ports again */
	return direction == NAT_OUT ? 0 : flags;
}

/* Accounts a packet of the mapping. One that was never answered ages from its first packet. */
static __always_inline void nat_account(struct nat_entry *e, __u8 tcp_flags, __be32 sequence,
					__be32 acknowledgement, int direction)
{
	__u8 flags = e->flags;
	__u64 now;

	if (direction == NAT_IN)
		flags |= NAT_REPLIED;
	if (tcp_flags)
		flags = nat_account_tcp(e, tcp_flags, sequence, acknowledgement, direction, flags);
	if (flags != e->flags)
		e->flags = flags;
	if (!(flags & NAT_REPLIED))
		return;
	now = bpf_ktime_get_coarse_ns();
	if (now - e->used > NS_PER_SECOND)
		e->used = now;
}

/*
 * Whether the port is the node's own: a service has it, or a socket with this address-port pair
 * towards the destination.
 */
__noinline int nat_port_is_the_nodes(CONTEXT *ctx, const struct flow *f, const struct target *to,
				     const struct address *own, __u16 port)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	__u32 size;

	if (!f || !to || !own || is_service_port(port, f->tuple.protocol))
		return 1;
	/* as the node would receive the reply */
	if (f->family == 4) {
		t.ipv4.saddr = WORD(&to->address, 3);
		t.ipv4.daddr = WORD(own, 3);
		t.ipv4.sport = to->port;
		t.ipv4.dport = port;
		size = sizeof(t.ipv4);
	} else {
		__builtin_memcpy(t.ipv6.saddr, to->address.bytes, 16);
		__builtin_memcpy(t.ipv6.daddr, own->bytes, 16);
		t.ipv6.sport = to->port;
		t.ipv6.dport = port;
		size = sizeof(t.ipv6);
	}
	if (f->tuple.protocol == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);
	else if (f->tuple.protocol == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		return 0;
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/*
 * Whether the flow may have `port`: 0 it is free, 1 it has it, -1 another flow has it. When
 * `pressed`, no port was free: then a mapping that was never answered gives way.
 */
__noinline int nat_claim(const struct flow *f, const struct target *t, const struct address *own,
			 __u16 port, bool pressed)
{
	struct nat_entry *taken;
	struct nat_key key;
	__u64 lifetime;
	__u32 owner;

	if (!f || !t || !own)
		return -1;
	/* Linux before 6.4 takes keys and values of maps from the stack, not from arguments */
	nat_key_in(&key, f, t, own, port);
	taken = bpf_map_lookup_elem(&pilus_nat, &key);
	if (!taken)
		return 0;
	if (nat_is_of(taken, f)) {
		nat_account(taken, f->tcp_flags, f->sequence, f->acknowledgement, NAT_OUT);
		return 1;
	}
	lifetime = pressed && !(taken->flags & NAT_REPLIED)
		       ? NAT_UNANSWERED_NS
		       : nat_lifetime(key.protocol, taken->flags);
	if (bpf_ktime_get_coarse_ns() - taken->used < lifetime)
		return -1;
	owner = taken->owner;
	/* of two CPUs that take it over, one deletes and one inserts */
	if (bpf_map_delete_elem(&pilus_nat, &key))
		return -1;
	nat_share_give(&t->address, t->port, f->tuple.protocol, port, owner);
	return 0;
}

/* Inserts the entry of the reply direction. Returns 0 when the port is allocated. */
__noinline int nat_insert(const struct flow *f, const struct target *t, const struct address *own,
			  __u16 port)
{
	struct nat_entry row = {};
	struct nat_key key;

	if (!f || !t || !own)
		return -1;
	nat_key_in(&key, f, t, own, port);
	row.address = f->tuple.source;
	row.port = f->tuple.source_port;
	row.frontend = f->tuple.destination;
	row.frontend_port = f->tuple.destination_port;
	row.used = bpf_ktime_get_coarse_ns();
	row.owner = f->owner;
	return bpf_map_update_elem(&pilus_nat, &key, &row, BPF_NOEXIST);
}

/*
 * Takes a share and inserts the entry. Returns 1, 0 when another flow has the port, or a negative
 * drop reason.
 */
static __always_inline int nat_allocate(const struct flow *f, const struct target *t,
					const struct address *own, __u16 port)
{
	if (!nat_share_take(&t->address, t->port, f->tuple.protocol, port, f->owner))
		return DROP(MAPPING_SHARE_SPENT);
	if (!nat_insert(f, t, own, port))
		return 1;
	nat_share_give(&t->address, t->port, f->tuple.protocol, port, f->owner);
	return 0;
}

/* The ports that a flow may get: its own, then those that its hash leads to. Network order. */
static __always_inline __u16 nat_candidate(const struct flow *f, __u32 hash, __u32 i)
{
	__u32 span = nat_ports();

	if (i == 0)
		return f->tuple.source_port;
	/* each as if at random: the ports that a sender has taken lie side by side */
	hash += i * 0x9e3779b1;
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	return bpf_htons(nat_port_min + ((__u64)hash * span >> 32));
}

/* Whether the flow has `port`. */
static __always_inline bool nat_has_port(const struct flow *f, const struct target *t,
					 const struct address *own, __u16 port)
{
	struct nat_entry *e;
	struct nat_key key;

	nat_key_in(&key, f, t, own, port);
	e = bpf_map_lookup_elem(&pilus_nat, &key);
	if (!e || !nat_is_of(e, f))
		return false;
	nat_account(e, f->tcp_flags, f->sequence, f->acknowledgement, NAT_OUT);
	return true;
}

/* The port other than its own that a flow has, network order; 0: none. */
__noinline int nat_find_remapped(const struct flow *f, const struct target *t,
				 const struct address *own)
{
	__u32 hash;

	if (!f || !t || !own || f->fixed)
		return 0;
	hash = flow_hash(&f->tuple, false);
	for (__u32 i = 1; i < NAT_TRIES; i++) {
		__u16 port = nat_candidate(f, hash, i);

		if (nat_has_port(f, t, own, port))
			return port;
	}
	return 0;
}

/* The port that a flow has, network order; 0: it has no mapping. */
static __always_inline int nat_existing(const struct flow *f, const struct target *t,
					const struct address *own)
{
	if (nat_has_port(f, t, own, f->tuple.source_port))
		return f->tuple.source_port;
	return nat_find_remapped(f, t, own);
}

/* Makes the mapping of a flow. Returns its port, network order, or a negative drop reason. */
__noinline int nat_make(CONTEXT *ctx, const struct flow *f, const struct target *t,
			const struct address *own)
{
	__u32 hash;

	if (!f || !t || !own)
		return DROP(NO_NAT_MAPPING);
	hash = flow_hash(&f->tuple, false);
	for (__u32 i = 0; i < 2 * NAT_TRIES; i++) {
		__u16 port = nat_candidate(f, hash, i % NAT_TRIES);
		int claim = nat_claim(f, t, own, port, i >= NAT_TRIES);

		if (!claim && !nat_port_is_the_nodes(ctx, f, t, own, port)) {
			claim = nat_allocate(f, t, own, port);
			if (claim < 0)
				return claim;
		}
		if (claim > 0)
			return port;
		if (f->fixed && i < NAT_TRIES)
			i = NAT_TRIES - 1; /* it has one candidate: on to the second round */
		else if (f->fixed)
			break;
	}
	return DROP(NO_NAT_MAPPING);
}

/*
 * The port, network order, that a flow leaves with; a mapping is made when there is none. Negative:
 * a drop reason.
 */
static __always_inline int nat_find(CONTEXT *ctx, const struct flow *f, const struct target *t,
				    const struct address *own)
{
	if (likely(!tcp_begins(f->tcp_flags))) {
		/* a flow that goes on may have a port behind one that has become free since */
		int port = nat_existing(f, t, own);

		if (port)
			return port;
	}
	return nat_make(ctx, f, t, own);
}

/* The mapping of a reply from `t->source` to an address of the node; NULL: for the node itself. */
static __always_inline struct nat_entry *nat_lookup_in(const struct tuple *t, __u8 tcp_flags,
						       __be32 sequence, __be32 acknowledgement)
{
	struct nat_entry *e;
	struct nat_key key;

	key.source = t->source;
	key.destination = t->destination;
	key.source_port = t->source_port;
	key.destination_port = t->destination_port;
	*(__u32 *)&key.protocol = t->protocol;
	e = bpf_map_lookup_elem(&pilus_nat, &key);
	if (e)
		nat_account(e, tcp_flags, sequence, acknowledgement, NAT_IN);
	return e;
}

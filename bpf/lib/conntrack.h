// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * One entry per connection for both directions and all devices. It holds the initiator and the
 * policy revisions under which the connection was allowed.
 */
#pragma once
#include "common.h"
#include "config.h"
#include "parse.h"
#include "share.h"

/* Both directions have the same key: the smaller address-port pair is `low`. */
struct ct_key {
	struct address low;
	struct address high;
	__be16 low_port;
	__be16 high_port;
	__u8 protocol;
	__u8 pad[3];
};

enum ct_flags {
	CT_INITIATOR_HIGH = 1, /* the initiator's address-port pair is `high` */
	CT_REPLIED = 2,	       /* a packet came back */
	CT_CLOSING = 4,	       /* FIN from both sides, or RST */
	CT_SERVICE = 8,	       /* the initiator talks to `frontend` */
	CT_REMAPPED = 16,      /* and its source port is remapped; see port_conflict.h */
};

/*
 * Index of the per-direction fields: 0 from the initiator, 1 to it. What each packet needs comes
 * first: it lies behind the key, in two or three cache lines with it.
 */
struct ct_entry {
	__u64 expires;		  /* CLOCK_MONOTONIC, ns */
	__u32 initiator_revision; /* of its egress policy; 0 when it is no endpoint of this node */
	__u32 responder_revision; /* of its ingress policy; 0 likewise */
	__u16 flags;		  /* enum ct_flags */
	__u8 tcp_flags[2];	  /* seen */
	__u32 acknowledged[2]; /* by TCP packets of that direction; with TCP_ACK in `tcp_flags` */
	__u32 share;	       /* whose row it is: of pilus_shares */
	__u64 packets[2];
	__u64 bytes[2];
	__u32 initiator_identity;
	__u32 responder_identity;
	struct address frontend; /* with CT_SERVICE: the address that the initiator connected to */
	__be16 frontend_port;
	__u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 524288);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct ct_key);
	__type(value, struct ct_entry);
} pilus_ct SEC(".maps");

/* Returns whether the tuple's source is the key's `high` side. */
static __always_inline bool ct_make_key(const struct tuple *t, struct ct_key *key)
{
	__u64 s, d;

	s = HALF(&t->source, 0);
	d = HALF(&t->destination, 0);
	if (s == d) {
		s = HALF(&t->source, 1);
		d = HALF(&t->destination, 1);
		if (s == d) {
			s = t->source_port;
			d = t->destination_port;
		}
	}
	*(__u32 *)&key->protocol = t->protocol;
	if (s > d) {
		key->low = t->destination;
		key->high = t->source;
		key->low_port = t->destination_port;
		key->high_port = t->source_port;
		return true;
	}
	key->low = t->source;
	key->high = t->destination;
	key->low_port = t->source_port;
	key->high_port = t->destination_port;
	return false;
}

/* 0: the packet comes from the initiator, 1: it goes to it. */
static __always_inline int ct_direction(const struct ct_entry *e, bool source_high)
{
	return !!(e->flags & CT_INITIATOR_HIGH) != source_high;
}

static __always_inline __u64 ct_lifetime(__u8 protocol, __u16 flags)
{
	if (protocol != IPPROTO_TCP)
		return ct_other_s * NS_PER_SECOND;
	if (flags & CT_CLOSING)
		return ct_tcp_closing_s * NS_PER_SECOND;
	if (!(flags & CT_REPLIED))
		return ct_tcp_opening_s * NS_PER_SECOND;
	return ct_tcp_established_s * NS_PER_SECOND;
}

/* A row that a new connection may take over: run out, or closed and now a SYN comes. */
static __always_inline bool ct_is_stale(const struct ct_entry *e, const struct packet *p, __u64 now)
{
	if (e->expires < now)
		return true;
	return p->tuple.protocol == IPPROTO_TCP && (e->flags & CT_CLOSING) &&
	       tcp_begins(p->tcp_flags);
}

/* Whether the initiator's packet, which was sent to a service, was sent to the one of the row. */
static __always_inline bool ct_is_same_service(const struct ct_entry *e, const struct packet *p)
{
	return e->flags & CT_SERVICE && e->frontend_port == p->inner.destination_port &&
	       address_equal(&e->frontend, &p->inner.destination) &&
	       !(e->flags & CT_REMAPPED) == !(p->flags & PACKET_REMAPPED);
}

/*
 * TCP's part of ct_account(): returns `flags` as they are after the packet. A FIN or RST out of the
 * other side's window ends nothing, and a segment after a RST shows that it was not believed.
 */
static __always_inline __u16 ct_account_tcp(struct ct_entry *e, const struct packet *p,
					    __u32 direction, __u16 flags, __u8 *fresh)
{
	__u8 seen = e->tcp_flags[direction], other = e->tcp_flags[direction ^ 1];
	__u8 sent = p->tcp_flags;

	if (unlikely(sent & (TCP_FIN | TCP_RST)) && other & TCP_ACK &&
	    !tcp_in_window(p->sequence, e->acknowledged[direction ^ 1]))
		sent &= ~(TCP_FIN | TCP_RST);
	if (unlikely((seen | other) & TCP_RST) && !(p->tcp_flags & TCP_RST)) {
		seen &= ~TCP_RST;
		e->tcp_flags[direction] = seen;
		e->tcp_flags[direction ^ 1] = other & ~TCP_RST;
		if (!(seen & other & TCP_FIN))
			flags &= ~CT_CLOSING;
	}
	if (sent & TCP_ACK && (!(seen & TCP_ACK) ||
			       tcp_acknowledges(p->acknowledgement, e->acknowledged[direction], 1)))
		e->acknowledged[direction] = bpf_ntohl(p->acknowledgement);
	*fresh = sent & ~seen & (TCP_SYN | TCP_FIN | TCP_RST);
	if (sent & ~seen)
		e->tcp_flags[direction] = seen | sent;
	if (*fresh & TCP_RST || ((seen | sent) & other & TCP_FIN))
		flags |= CT_CLOSING;
	return flags;
}

/*
 * Accounts for a packet. Returns the TCP flags that this direction shows for the first time, which
 * is when an event is worth sending. Counters may lose an increment to a race of two CPUs within
 * one direction.
 */
static __always_inline __u8 ct_account(struct ct_entry *e, const struct packet *p, int direction,
				       __u32 length, __u64 now)
{
	__u8 fresh = 0;
	__u16 flags = e->flags;
	__u64 expires;

	e->packets[direction & 1]++;
	e->bytes[direction & 1] += length;
	if (direction && !(flags & CT_REPLIED))
		flags |= CT_REPLIED;
	if (p->tuple.protocol == IPPROTO_TCP && !(p->flags & PACKET_FRAGMENT_LATER)) {
		flags = ct_account_tcp(e, p, direction & 1, flags, &fresh);
	}
	if (flags != e->flags)
		e->flags = flags;
	/* once a second is enough, and keeps the line clean for readers on other CPUs */
	expires = now + ct_lifetime(p->tuple.protocol, flags);
	if (expires - e->expires > NS_PER_SECOND)
		e->expires = expires;
	return fresh;
}

/* Identities and policy revisions of a new entry. */
struct ct_origin {
	__u32 initiator_identity;
	__u32 responder_identity;
	__u32 initiator_revision;
	__u32 responder_revision;
	__u32 share;
};

static __always_inline int ct_replace(struct ct_key *key, struct ct_entry *row)
{
	struct ct_entry *old = bpf_map_lookup_elem(&pilus_ct, key);

	if (old)
		share_give(old->share, SHARED_CONNECTIONS);
	return bpf_map_update_elem(&pilus_ct, key, row, BPF_ANY);
}

/* Creates the entry of a new connection. Returns 0 or a negative drop reason. */
__noinline int ct_create(struct __sk_buff *skb, const struct packet *p, const struct ct_origin *o)
{
	struct ct_entry row = {};
	struct ct_key key;
	int err; /* Linux before 6.4 gives 32 bits, and anything above them */

	if (!p || !o)
		return DROP(CT_CREATE_FAILED);
	row.initiator_identity = o->initiator_identity;
	row.responder_identity = o->responder_identity;
	row.initiator_revision = o->initiator_revision;
	row.responder_revision = o->responder_revision;
	row.flags = ct_make_key(&p->tuple, &key) ? CT_INITIATOR_HIGH : 0;
	if (p->flags & PACKET_TRANSLATED) {
		row.flags |= CT_SERVICE;
		if (p->flags & PACKET_REMAPPED)
			row.flags |= CT_REMAPPED;
		row.frontend = p->inner.destination;
		row.frontend_port = p->inner.destination_port;
	}
	ct_account(&row, p, 0, skb->len, bpf_ktime_get_coarse_ns());
	row.share = o->share;
	if (!share_take(row.share, SHARED_CONNECTIONS))
		return DROP(CONNECTION_SHARE_SPENT);
	err = bpf_map_update_elem(&pilus_ct, &key, &row, BPF_NOEXIST);
	if (err == -17) /* EEXIST: a row that has run out */
		err = ct_replace(&key, &row);
	else if (err == -16) /* EBUSY: another CPU held the bucket */
		err = bpf_map_update_elem(&pilus_ct, &key, &row, BPF_ANY);
	if (!err)
		return 0;
	share_give(row.share, SHARED_CONNECTIONS);
	return DROP(CT_CREATE_FAILED);
}

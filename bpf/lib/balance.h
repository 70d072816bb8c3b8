// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Backend selection per packet. As long as a Maglev slot has never changed its flows need no state:
 * every packet, on every node, selects the same backend.
 */
#pragma once
#include "config.h"
#include "hash.h"
#include "reasons.h"
#include "service.h"
#include "share.h"

/*
 * Arguments, result and scratch space of balance_kept(), too large for the stack. Packet programs
 * are not preempted by one another on a CPU.
 */
struct balance {
	struct choice_key flow;
	struct service_side side;
	__u32 service;
	__u32 affinity_s;
	__u32 slot;	      /* with a table */
	__u8 scope;	      /* enum service_scope */
	__u8 begins;	      /* the packet is the first of a TCP connection */
	__u16 owner;	      /* of the shares of what is remembered */
	struct choice answer; /* `row` 0: the backend is in no set any more */
	struct affinity_key client;
	struct backend_index_key backend_index;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct balance);
} pilus_balance SEC(".maps");

static __always_inline __u32 maglev_slot(__u32 hash)
{
	return (__u64)hash * maglev_size >> 32;
}

/* The Maglev slot of a hash. Returns false when there is no such row. */
static __always_inline bool maglev_lookup(__u32 table, __u32 hash, __u32 *slot)
{
	__u32 number = maglev_slot(hash);
	__u32 row = table + number / MAGLEV_ROW_SLOTS;
	struct maglev_row *r = bpf_map_lookup_elem(&pilus_maglev, &row);

	if (!r)
		return false;
	*slot = r->slots[number & (MAGLEV_ROW_SLOTS - 1)];
	return true;
}

/* Lifetime of an idle choice, ns. */
static __always_inline __u64 choice_lifetime(__u8 protocol)
{
	return (protocol == IPPROTO_TCP ? ct_tcp_established_s : ct_other_s) * NS_PER_SECOND;
}

/* The row of a choice, 0 when it is not the backend's any more. */
static __always_inline __u32 choice_row(const struct balance *q, const struct choice *c)
{
	__u32 row = c->row;
	struct backend *b;

	if (row - q->side.set >= q->side.total)
		return 0;
	b = bpf_map_lookup_elem(&pilus_backends, &row);
	return b && b->port == c->port && address_equal(&b->address, &c->backend) ? row : 0;
}

#define ROW_UNKNOWN 0xffffffff

/*
 * The row that a choice's backend has now, 0 when the service has it no more. ROW_UNKNOWN: its row
 * is being written.
 */
static __always_inline __u32 backend_index_row(struct balance *q, const struct choice *c)
{
	struct backend_index *member;
	struct backend *b;
	__u32 index, row;

	q->backend_index.address = c->backend;
	q->backend_index.service = q->service;
	q->backend_index.port = c->port;
	member = bpf_map_lookup_elem(&pilus_backend_index, &q->backend_index);
	index = member ? member->index[q->scope & 1] : 0;
	if (!index)
		return 0;
	row = q->side.set + index - 1;
	b = bpf_map_lookup_elem(&pilus_backends, &row);
	return b && b->port == c->port && address_equal(&b->address, &c->backend) ? row
										  : ROW_UNKNOWN;
}

/* The row of the backend that the client had last, 0 when new connections go there no more. */
static __always_inline __u32 affinity_row(struct balance *q, __u64 now)
{
	struct choice *c = bpf_map_lookup_elem(&pilus_affinity, &q->client);
	__u32 row;

	if (!c || now - c->used > q->affinity_s * NS_PER_SECOND)
		return 0;
	row = backend_index_row(q, c);
	return row - q->side.set < q->side.count ? row : 0;
}

/* Without room in the owner's share a flow goes where its hash or the next draw leads. */
static __always_inline void keep_choice(const struct balance *q, void *map, const void *key,
					enum share_kind kind, enum shared_table table)
{
	__u32 share = share_index(kind, q->owner);
	struct choice *old = bpf_map_lookup_elem(map, key);

	if (old)
		share_give(share_index(kind, old->owner), table);
	if (share_take(share, table) && bpf_map_update_elem(map, key, &q->answer, BPF_ANY))
		share_give(share, table);
}

/*
 * The rest of balance(): flows that have, or get, a memory. Returns 0 with the answer in the row of
 * pilus_balance, or a negative drop reason.
 */
__noinline int balance_kept(__u32 zero)
{
	struct balance *q = bpf_map_lookup_elem(&pilus_balance, &zero);
	struct backend *b;
	struct choice *c;
	bool tcp, remember = true;
	__u32 row = 0;
	__u64 now;

	if (!q)
		return DROP(SERVICE_BACKEND_NOT_FOUND);
	now = bpf_ktime_get_coarse_ns();
	tcp = q->flow.protocol == IPPROTO_TCP;
	c = bpf_map_lookup_elem(&pilus_choices, &q->flow);
	if (c && now - c->used < choice_lifetime(q->flow.protocol)) {
		row = choice_row(q, c);
		if (!row) {
			row = backend_index_row(q, c);
			if (row && row != ROW_UNKNOWN)
				c->row = row;
		}
		/* a SYN may be the second of its connection: it stays while new ones go there */
		if (row && (!q->begins || row - q->side.set < q->side.count)) {
			q->answer.backend = c->backend;
			q->answer.port = c->port;
			q->answer.row = row == ROW_UNKNOWN ? 0 : row;
			if (now - c->used > NS_PER_SECOND)
				c->used = now;
			return 0;
		}
		row = 0;
	}
	q->client.client = q->flow.client;
	q->client.service = q->service;
	if (q->affinity_s)
		row = affinity_row(q, now);
	if (row) {
		/* session affinity */
	} else if (q->side.table) {
		__u32 index = SLOT_NOW(q->slot);

		if (tcp ? !q->begins : q->slot & SLOT_YOUNG) {
			index = SLOT_BEFORE(q->slot);
			remember = !tcp;
		}
		row = q->side.set + index;
	} else if (q->side.count) {
		row = q->side.set + bpf_get_prandom_u32() % q->side.count;
	} else {
		return DROP(SERVICE_BACKEND_NOT_FOUND);
	}
	b = bpf_map_lookup_elem(&pilus_backends, &row);
	if (!b)
		return DROP(SERVICE_BACKEND_NOT_FOUND);
	q->answer.backend = b->address;
	q->answer.port = b->port;
	q->answer.row = row;
	q->answer.used = now;
	q->answer.owner = q->owner;
	if (q->affinity_s)
		keep_choice(q, &pilus_affinity, &q->client, SHARE_AFFINITY, SHARED_AFFINITY);
	if (remember || q->affinity_s)
		keep_choice(q, &pilus_choices, &q->flow, SHARE_CHOICES, SHARED_CHOICES);
	return 0;
}

/*
 * The backend of a packet from `t->source` to the frontend `t->destination`. Returns its row; 0
 * when it is in no set any more, with the answer in pilus_balance. Negative: a drop reason. What is
 * remembered of it is in the share of `owner`.
 */
static __always_inline int balance(const struct service *s, int scope, const struct tuple *t,
				   bool begins, __u32 owner)
{
	const struct service_side *side = &s->side[scope];
	__u32 slot = SLOT_ASK, zero = 0;
	struct balance *q;
	int err;

	if (likely(side->table)) {
		if (!maglev_lookup(side->table, flow_hash(t, s->affinity_s), &slot))
			return DROP(SERVICE_BACKEND_NOT_FOUND);
		if (likely(!(slot & SLOT_ASK) && !s->affinity_s))
			return side->set + SLOT_NOW(slot);
	}
	q = bpf_map_lookup_elem(&pilus_balance, &zero);
	if (!q)
		return DROP(SERVICE_BACKEND_NOT_FOUND);
	q->flow.client = t->source;
	q->flow.frontend = t->destination;
	q->flow.client_port = t->source_port;
	q->flow.frontend_port = t->destination_port;
	*(__u32 *)&q->flow.protocol = t->protocol;
	q->side = *side;
	q->service = s->id;
	q->affinity_s = s->affinity_s;
	q->slot = slot;
	q->scope = scope;
	q->begins = begins;
	q->owner = owner;
	err = balance_kept(0);
	if (err)
		return err;
	return q->answer.row;
}

/* Counts a selection of `b`: a connection once, a datagram each time. */
static __always_inline void count_hit(struct backend *b, const struct tuple *t, bool begins)
{
	if (begins || t->protocol != IPPROTO_TCP)
		__sync_fetch_and_add(&b->hits, 1);
}

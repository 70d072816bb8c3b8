// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Run by the agent, one pass at a time: deletes within the kernel what has run out, what endpoints
 * have left behind, and what those near the end of their share have idle; and counts the rest anew.
 * Fragments that were kept in vain are counted as drops.
 */
#include "lib/common.h"
#include "lib/balance.h"
#include "lib/config.h"
#include "lib/conntrack.h"
#include "lib/fragment_order.h"
#include "lib/nat.h"
#include "lib/share.h"

/* What a pressed owner's rows that may be idle for longer are kept. */
#define PRESSED_UNANSWERED_NS NAT_UNANSWERED_NS
#define PRESSED_DATAGRAMS_NS  (10 * NS_PER_SECOND)
#define PRESSED_AFFINITY_NS   (60 * NS_PER_SECOND)

/* The longest that a service keeps its clients, idle ones too. */
#define AFFINITY_NS (86400 * NS_PER_SECOND)

/* The LRU maps keep 128 rows for each CPU, and evict before all are in use. */
#define CAPACITY(map) (((struct bpf_map *)&(map))->max_entries / 16 * 15)

/* As the kernel has it; see `map_ptr` in its documentation of BTF. */
struct bpf_map {
	__u32 max_entries;
} __attribute__((preserve_access_index));

struct garbage {
	__u64 connections; /* rows deleted */
	__u64 mappings;
	__u64 choices; /* of flows and clients */
};

/* A pass over one table. */
struct pass {
	__u64 now; /* CLOCK_MONOTONIC, ns */
	__u64 deleted;
	struct shared *table;
	__s32 room; /* rows that are free as it begins */
	__u32 pad;
};

static __always_inline bool owner_is_gone(__u32 owner)
{
	__u32 slot = owner & (ENDPOINT_SLOTS - 1);
	struct endpoint *ep = bpf_map_lookup_elem(&pilus_endpoints, &slot);

	return slot != SHARE_OF_NODE && ep && !ep->ifindex;
}

/* What is taken from here on is added to what the pass will count. */
static long begin_share(struct bpf_map *map, __u32 *index, struct share *s, void *ctx)
{
	s->change = -s->rows;
	if (s->refused && owner_is_gone(*index))
		s->refused = 0;
	return 0;
}

static long end_share(struct bpf_map *map, __u32 *index, struct share *s, void *ctx)
{
	if (s->change)
		__sync_fetch_and_add(&s->rows, s->change);
	return 0;
}

static __always_inline void keep(struct pass *p, struct share *own)
{
	if (own)
		own->change++;
	if (p->table)
		p->table->change++;
}

/* Whether a flow that has been idle for so long goes before its time, when its owner is pressed. */
static __always_inline bool goes_early(bool answered, __u8 protocol, __s64 idle)
{
	if (!answered)
		return idle > (__s64)PRESSED_UNANSWERED_NS;
	return protocol != IPPROTO_TCP && idle > (__s64)PRESSED_DATAGRAMS_NS;
}

static long collect_connection(struct bpf_map *map, struct ct_key *key, struct ct_entry *e,
			       struct pass *p)
{
	__s64 idle = p->now + ct_lifetime(key->protocol, e->flags) - e->expires;
	struct share *own = share_at(e->share);
	bool over = e->expires < p->now || owner_is_gone(e->share);

	if (!over && own && share_is_pressed(own, p->room))
		over = goes_early(e->flags & CT_REPLIED, key->protocol, idle);
	if (over && !bpf_map_delete_elem(&pilus_ct, key))
		p->deleted++;
	else
		keep(p, own);
	return 0;
}

static long collect_mapping(struct bpf_map *map, struct nat_key *key, struct nat_entry *e,
			    struct pass *p)
{
	__s64 idle = p->now - e->used;
	struct share *own = share_at(share_index(SHARE_MAPPINGS, e->owner));
	struct port_shares ports = port_shares(&key->source, key->source_port, key->protocol,
					       key->destination_port, e->owner);
	bool over = idle > (__s64)nat_lifetime(key->protocol, e->flags) || owner_is_gone(e->owner);
	bool pressed = own && share_is_pressed(own, p->room);

	if (ports.all && ports.own &&
	    share_is_pressed(ports.own, share_room(nat_ports(), ports.all->rows)))
		pressed = true;
	if (!over && pressed)
		over = goes_early(e->flags & NAT_REPLIED, key->protocol, idle);
	if (over && !bpf_map_delete_elem(&pilus_nat, key)) {
		p->deleted++;
		return 0;
	}
	keep(p, own);
	if (ports.all && ports.own) {
		ports.all->change++;
		ports.own->change++;
	}
	return 0;
}

static long collect_choice(struct bpf_map *map, struct choice_key *key, struct choice *c,
			   struct pass *p)
{
	__s64 idle = p->now - c->used;
	struct share *own = share_at(share_index(SHARE_CHOICES, c->owner));
	bool over = idle > (__s64)choice_lifetime(key->protocol) || owner_is_gone(c->owner);

	if (!over && own && share_is_pressed(own, p->room))
		over = goes_early(true, key->protocol, idle);
	if (over && !bpf_map_delete_elem(&pilus_choices, key))
		p->deleted++;
	else
		keep(p, own);
	return 0;
}

static long collect_client(struct bpf_map *map, struct affinity_key *key, struct choice *c,
			   struct pass *p)
{
	__s64 idle = p->now - c->used;
	struct share *own = share_at(share_index(SHARE_AFFINITY, c->owner));
	bool over = idle > (__s64)AFFINITY_NS || owner_is_gone(c->owner);

	if (!over && own && share_is_pressed(own, p->room))
		over = idle > (__s64)PRESSED_AFFINITY_NS;
	if (over && !bpf_map_delete_elem(&pilus_affinity, key))
		p->deleted++;
	else
		keep(p, own);
	return 0;
}

/* The first one of its datagram has not come. */
static long collect_fragment(struct bpf_map *map, __u32 *index, struct held_fragment *h, __u64 *now)
{
	__u64 until = h->until;

	if (until != HELD_FREE && until < *now && held_take(h, until)) {
		held_lost(h);
		held_set(h, HELD_FREE);
	}
	return 0;
}

static long collect_datagram(struct bpf_map *map, __u32 *cell, struct datagram *d, __u64 *now)
{
	__s32 age = *now / NS_PER_SECOND - d->since;

	if (age > DATAGRAM_S)
		bpf_map_delete_elem(&pilus_datagrams, cell);
	return 0;
}

static __always_inline void begin(struct pass *p, enum shared_table number, __u32 capacity)
{
	struct shared *table = shared_table(number);

	p->now = bpf_ktime_get_ns();
	p->deleted = 0;
	p->table = table;
	p->room = 0;
	if (!table)
		return;
	table->capacity = capacity;
	table->pressed = 0;
	table->change = -table->rows;
	p->room = share_room(capacity, table->rows);
}

static __always_inline __u64 end(struct pass *p)
{
	if (p->table)
		__sync_fetch_and_add(&p->table->rows, p->table->change);
	return p->deleted;
}

static __always_inline void counted(enum shared_table number)
{
	struct shared *table = shared_table(number);

	if (table)
		table->counted = bpf_ktime_get_ns();
}

SEC("syscall")
int collect_garbage(struct garbage *ctx)
{
	struct garbage g = {};
	struct pass p = {};

	bpf_for_each_map_elem(&pilus_shares, begin_share, NULL, 0);
	begin(&p, SHARED_CONNECTIONS, CAPACITY(pilus_ct));
	bpf_for_each_map_elem(&pilus_ct, collect_connection, &p, 0);
	g.connections = end(&p);
	begin(&p, SHARED_MAPPINGS, CAPACITY(pilus_nat));
	bpf_for_each_map_elem(&pilus_nat, collect_mapping, &p, 0);
	g.mappings = end(&p);
	begin(&p, SHARED_CHOICES, CAPACITY(pilus_choices));
	bpf_for_each_map_elem(&pilus_choices, collect_choice, &p, 0);
	g.choices = end(&p);
	begin(&p, SHARED_AFFINITY, CAPACITY(pilus_affinity));
	bpf_for_each_map_elem(&pilus_affinity, collect_client, &p, 0);
	g.choices += end(&p);
	bpf_for_each_map_elem(&pilus_shares, end_share, NULL, 0);
	bpf_for_each_map_elem(&pilus_datagrams, collect_datagram, &p.now, 0);
	bpf_for_each_map_elem(&pilus_held_fragments, collect_fragment, &p.now, 0);
	for (int i = 0; i < SHARED_TABLES; i++)
		counted(i);
	*ctx = g;
	return 0;
}

char _license[] SEC("license") = "GPL";

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Fair shares of what all endpoints have in common: an owner gets no more of a table's rows while
 * it has as many as are free. One that floods so ends with half of them, n of them end with 1/(n+1)
 * each, and the table is never full: it has nothing to evict. The collector counts the rows anew
 * with each pass; what comes in between is added here.
 */
#pragma once
#include "common.h"
#include "endpoint.h"
#include "hash.h"

/* What an owner has a share of. */
enum share_kind {
	SHARE_STARTED = 0,  /* connections that the owner began */
	SHARE_ACCEPTED = 1, /* connections to the owner that no endpoint of this node began */
	SHARE_MAPPINGS = 2,
	SHARE_CHOICES = 3,
	SHARE_AFFINITY = 4,
	SHARE_PORTS = 5, /* masquerade ports towards one destination */
	SHARE_KINDS = 6,
};

struct share {
	__s32 rows;    /* counted, and taken since */
	__s32 change;  /* of a pass: what it adds to `rows` in the end */
	__u32 refused; /* wraps around; of ports it counts with the mappings */
	__u32 pad;
};

/* The owner is the slot of an endpoint, or SHARE_OF_NODE. Ports are by a hash of owner and
 * destination: whose hashes meet count for each other. */
#define SHARE_OWNERS	 ENDPOINT_SLOTS
#define SHARE_OWNER_BITS 16

/* The node itself, and clients outside it. */
#define SHARE_OF_NODE 0

/* Index: enum share_kind << SHARE_OWNER_BITS | owner. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHARE_KINDS *SHARE_OWNERS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct share);
} pilus_shares SEC(".maps");

enum shared_table {
	SHARED_CONNECTIONS = 0,
	SHARED_MAPPINGS = 1,
	SHARED_CHOICES = 2,
	SHARED_AFFINITY = 3,
	SHARED_TABLES = 4,
};

/* A table that is shared. */
struct shared {
	__s32 rows;	/* as of a share */
	__s32 change;	/* likewise */
	__s32 capacity; /* rows to share out */
	__u32 pressed;	/* 1: since the last pass an owner has come to half of what it may have */
	__u64 counted;	/* when the last pass ended, CLOCK_MONOTONIC, ns; 0: never */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHARED_TABLES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct shared);
} pilus_shared SEC(".maps");

/* Without a pass for so long nothing is collected, and the tables evict what is oldest instead. */
#define SHARES_HOLD_NS (120 * NS_PER_SECOND)

static __always_inline __u32 share_index(enum share_kind kind, __u32 owner)
{
	return kind << SHARE_OWNER_BITS | (owner & (SHARE_OWNERS - 1));
}

static __always_inline struct share *share_at(__u32 index)
{
	return bpf_map_lookup_elem(&pilus_shares, &index);
}

static __always_inline struct shared *shared_table(__u32 table)
{
	return bpf_map_lookup_elem(&pilus_shared, &table);
}

static __always_inline __s32 share_room(__s32 capacity, __s32 rows)
{
	return capacity > rows ? capacity - rows : 0;
}

/* Whether an owner has half of what it may have of `room` and its own: its idle rows go early. */
static __always_inline bool share_is_pressed(const struct share *own, __s32 room)
{
	return 2 * own->rows >= room;
}

/* Whether passes go on. */
static __always_inline bool shares_hold(const struct shared *table)
{
	__s64 age = bpf_ktime_get_coarse_ns() - table->counted;

	return table->counted && age < (__s64)SHARES_HOLD_NS;
}

/* Whether the owner may have no more. `room`: what is free. */
static __always_inline bool share_is_spent(struct share *own, struct shared *table, __s32 room)
{
	if (likely(!share_is_pressed(own, room)))
		return false;
	if (!table->pressed)
		table->pressed = 1;
	return own->rows >= room && shares_hold(table);
}

/* Takes a row of the table for the share of `index`. Returns false when it is spent. */
static __always_inline bool share_take(__u32 index, enum shared_table number)
{
	struct shared *table = shared_table(number);
	struct share *own = share_at(index);

	if (!table || !own)
		return true;
	if (share_is_spent(own, table, share_room(table->capacity, table->rows))) {
		__sync_fetch_and_add(&own->refused, 1);
		return false;
	}
	__sync_fetch_and_add(&own->rows, 1);
	__sync_fetch_and_add(&table->rows, 1);
	return true;
}

/* Gives a row back. */
static __always_inline void share_give(__u32 index, enum shared_table number)
{
	struct shared *table = shared_table(number);
	struct share *own = share_at(index);

	if (table && own) {
		__sync_fetch_and_sub(&own->rows, 1);
		__sync_fetch_and_sub(&table->rows, 1);
	}
}

/* The share of ports towards a destination: all owners' together, or one owner's. */
static __always_inline __u32 share_of_ports(const struct address *to, __be16 port, __u8 protocol,
					    __u32 owner)
{
	__u32 h = hash_word(FLOW_HASH_SEED, port | (__u32)protocol << 16);

	for (int i = 0; i < 4; i++)
		h = hash_word(h, WORD(to, i));
	h = hash_word(h, owner);
	h ^= h >> 16;
	h *= 0x85ebca6b;
	return share_index(SHARE_PORTS, h ^ h >> 13);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The endpoint of an address, for packets that arrive: a cache before the ipcache, whose hash of
 * an address costs more than the rest of the way to its row.
 */
#pragma once
#include "ipcache.h"
#include "sender_slot.h"

struct local_address {
	struct address address;
	__u64 expires; /* jiffies */
	__u32 ifindex;
	__u32 pad;
};

/* Per CPU: one row per hash. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SENDERS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct local_address);
} pilus_local_addresses SEC(".maps");

static __always_inline struct local_address *local_address_row(const struct address *a)
{
	__u32 slot = sender_slot(a);

	return bpf_map_lookup_elem(&pilus_local_addresses, &slot);
}

/* The ifindex of the endpoint that has the address, or 0: not known here, ask the ipcache. */
static __always_inline __u32 local_ifindex(const struct address *a)
{
	struct local_address *row = local_address_row(a);

	return row && row->expires >= bpf_jiffies64() && address_equal(&row->address, a)
		   ? row->ifindex
		   : 0;
}

/* Keeps what the ipcache said of an endpoint's address. */
static __always_inline void local_address_remember(const struct address *a, __u32 ifindex)
{
	struct local_address *row = local_address_row(a);

	if (!row)
		return;
	row->address = *a;
	row->ifindex = ifindex;
	row->expires = bpf_jiffies64() + SENDER_JIFFIES;
}

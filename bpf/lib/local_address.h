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

/*
 * The ifindex of the endpoint that has the address; 0: no endpoint of this node. `row` is then the
 * ipcache's, or NULL.
 */
static __always_inline __u32 local_ifindex(const struct address *a, struct ipcache_entry **row)
{
	__u32 slot = sender_slot(a), ifindex;
	struct local_address *known = bpf_map_lookup_elem(&pilus_local_addresses, &slot);

	*row = NULL;
	if (!known)
		return 0;
	if (likely(known->expires >= bpf_jiffies64() && address_equal(&known->address, a)))
		return known->ifindex;
	*row = ipcache_exact(a);
	ifindex = endpoint_ifindex(*row);
	if (!ifindex)
		return 0;
	known->address = *a;
	known->ifindex = ifindex;
	known->expires = bpf_jiffies64() + SENDER_JIFFIES;
	return ifindex;
}

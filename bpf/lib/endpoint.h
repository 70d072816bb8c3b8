// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The pods of this node. */
#pragma once
#include "common.h"

#define ENDPOINT_SLOTS 65536

enum endpoint_flags {
	ENDPOINT_EGRESS_LIMITED = 1, /* has a row of pilus_bandwidth */
	ENDPOINT_INGRESS_LIMITED = 2,
};

struct endpoint {
	__u32 ifindex; /* of the host's side of the pair; 0: no endpoint */
	__u32 identity;
	__u32 policy;	/* row of pilus_policies; 0: not computed yet, nothing passes */
	__u32 revision; /* changes whenever established connections must be evaluated again */
	__u16 id;
	__u16 flags;	     /* enum endpoint_flags */
	__u8 mac[6];	     /* in the pod */
	__u8 host_mac[6];    /* of the host's side */
	struct address ipv4; /* zero: none */
	struct address ipv6;
};

/* Slot: ifindex & 0xffff. A program that is run for a packet of a pod finds its row without a hash.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ENDPOINT_SLOTS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct endpoint);
} pilus_endpoints SEC(".maps");

static __always_inline struct endpoint *endpoint_by_ifindex(__u32 ifindex)
{
	__u32 slot = ifindex & (ENDPOINT_SLOTS - 1);
	struct endpoint *ep = bpf_map_lookup_elem(&pilus_endpoints, &slot);

	return ep && ep->ifindex == ifindex ? ep : NULL;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The node's state that may change while programs run. */
#pragma once
#include "common.h"

struct node {
	struct address ipv4; /* source of translated connections to backends; unspecified: none */
	struct address ipv6;
	struct address router_ipv4; /* likewise through the tunnel */
	struct address router_ipv6;
	__u32 denied;	     /* number of rows in pilus_prefilter */
	__u32 host_backends; /* 1: some service has this node itself as a backend */
	__u8 mac[6];	     /* with `one_device`: of that device */
	__u8 one_device;     /* 1: the programs are attached to one device of the node */
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct node);
} pilus_node SEC(".maps");

static __always_inline struct node *this_node(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pilus_node, &zero);
}

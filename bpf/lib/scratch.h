// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Per-CPU scratch space of a packet's translation, too large for the stack (skb only). */
#pragma once
#include "nat.h"
#include "service.h"

/* The translation of a packet to a service. */
struct scratch {
	struct flow flow;     /* as received */
	struct target target; /* the backend */
	__u32 row;	      /* of pilus_backends; 0: not in any set any more */
	__u32 service;	      /* id */
	__u16 flags;	      /* enum service_flags */
	__u8 backend;	      /* enum backend_flags, with a row */
	__u8 pad;
	__u32 pad2;
	struct packet inner; /* of a packet in a tunnel */
	struct dsr_frontend_key dsr_frontend;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct scratch);
} pilus_scratch SEC(".maps");

static __always_inline struct scratch *this_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pilus_scratch, &zero);
}

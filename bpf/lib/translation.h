// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The flow that a program of packets works at: more than its stack holds (skb only). */
#pragma once
#include "nat.h"
#include "service.h"

/* What is to be done with a packet to a service; kept beside the stack, as struct balance. */
struct translation {
	struct flow flow; /* as it came */
	struct target target; /* where to */
	__u32 row;     /* of pilus_backends; 0: not in any set any more */
	__u32 service; /* id */
	__u16 flags;   /* enum service_flags */
	__u8 backend;  /* enum backend_flags, with a row */
	__u8 pad;
	__u32 pad2;
	struct packet inner; /* of a packet in a tunnel */
	struct tunnelled_key tunnelled;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct translation);
} pilus_translation SEC(".maps");

inline_always struct translation *this_translation(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pilus_translation, &zero);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The prefilter: source prefixes whose packets are dropped first. */
#pragma once
#include "common.h"
#include "node.h"

struct prefilter_key {
	__u32 prefix_length; /* of the mapped form: an IPv4 /24 is 120 */
	__u8 address[16];
};

/* Denied source prefixes. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct prefilter_key);
	__type(value, __u32);
} pilus_prefilter SEC(".maps");

static __always_inline bool prefilter_denies(const struct address *source)
{
	struct prefilter_key key;

	key.prefix_length = 128;
	__builtin_memcpy(key.address, source, 16);
	return bpf_map_lookup_elem(&pilus_prefilter, &key);
}

/* A separate stack frame, for programs near the stack limit. */
__noinline int prefilter_denies_noinline(const struct address *source)
{
	struct address a;

	if (!source)
		return 0;
	a = *source;
	return prefilter_denies(&a);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Sources that the node does not listen to at all. */
#pragma once
#include "common.h"
#include "node.h"

struct denied_key {
	__u32 prefix_length; /* of the mapped form: an IPv4 /24 is 120 */
	__u8 address[16];
};

/* Sources whose packets are dropped before anything else. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct denied_key);
	__type(value, __u32);
} pilus_denied SEC(".maps");

inline_always bool is_denied(const struct address *source)
{
	struct denied_key key;

	key.prefix_length = 128;
	__builtin_memcpy(key.address, source, 16);
	return bpf_map_lookup_elem(&pilus_denied, &key);
}

/* For programs that have no room left on their stack. */
__noinline int denies(const struct address *source)
{
	struct address a;

	if (!source)
		return 0;
	a = *source;
	return is_denied(&a);
}

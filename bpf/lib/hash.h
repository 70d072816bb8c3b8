// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The number of a flow: the same on every node and in the agent. MurmurHash3_x86_32 over its words.
 */
#pragma once
#include "parse.h"

#define FLOW_HASH_SEED 0x9747b28c

static __always_inline __u32 hash_word(__u32 h, __u32 word)
{
	word *= 0xcc9e2d51;
	word = word << 15 | word >> 17;
	word *= 0x1b873593;
	h ^= word;
	h = h << 13 | h >> 19;
	return h * 5 + 0xe6546b64;
}

/* Of an IPv4 address the mapped word counts. With `affinity` the client's address decides alone. */
static __always_inline __u32 flow_hash(const struct tuple *t, bool affinity)
{
	__u32 h = FLOW_HASH_SEED, bytes;

	if (address_is_v4(&t->destination)) {
		h = hash_word(h, WORD(&t->source, 3));
		h = hash_word(h, WORD(&t->destination, 3));
		bytes = 16;
	} else {
		for (int i = 0; i < 4; i++)
			h = hash_word(h, WORD(&t->source, i));
		for (int i = 0; i < 4; i++)
			h = hash_word(h, WORD(&t->destination, i));
		bytes = 40;
	}
	h = hash_word(h, affinity ? 0 : t->source_port | (__u32)t->destination_port << 16);
	h = hash_word(h, t->protocol);
	h ^= bytes;
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	return h ^ h >> 16;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What a socket believes to talk to, while its packets go to a backend. */
#pragma once
#include "common.h"

struct reverse_key {
	struct address backend;
	__u64 cookie; /* of the socket */
	__be16 port;
	__u8 pad[6];
};

struct reverse {
	struct address frontend;
	__be16 port;
	__u8 pad[2];
	__u32 service; /* id */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct reverse_key);
	__type(value, struct reverse);
} pilus_reverse SEC(".maps");

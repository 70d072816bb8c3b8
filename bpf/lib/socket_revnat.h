// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The frontend by socket and backend: the reverse of the translation at the socket. */
#pragma once
#include "common.h"

struct socket_revnat_key {
	struct address backend;
	__u64 cookie; /* of the socket */
	__be16 port;
	__u8 pad[6];
};

struct socket_revnat {
	struct address frontend;
	__be16 port;
	__u8 pad[2];
	__u32 service; /* id */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct socket_revnat_key);
	__type(value, struct socket_revnat);
} pilus_socket_revnat SEC(".maps");

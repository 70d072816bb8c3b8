// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Services: a frontend names a set of backends. Sets are never changed, only replaced. */
#pragma once
#include "common.h"

struct service_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad[5];
};

struct service {
	__u32 set;   /* rows {set, 0 .. count - 1} of pilus_backends */
	__u32 count; /* 0: refuse */
	__u32 id;    /* number of the frontend, for people */
	__u32 flags; /* none yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct service_key);
	__type(value, struct service);
} pilus_services SEC(".maps");

struct backend_key {
	__u32 set;
	__u32 slot;
};

struct backend {
	struct address address;
	__be16 port;
	__u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 524288);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct backend_key);
	__type(value, struct backend);
} pilus_backends SEC(".maps");

inline_always struct service *service_lookup(const struct address *address, __be16 port,
					     __u8 protocol)
{
	struct service_key key = {};

	key.address = *address;
	key.port = port;
	key.protocol = protocol;
	return bpf_map_lookup_elem(&pilus_services, &key);
}

/* The backend for a number that is as good as random. */
inline_always struct backend *service_backend(const struct service *s, __u32 number)
{
	struct backend_key key;

	if (!s->count)
		return NULL;
	key.set = s->set;
	key.slot = number % s->count;
	return bpf_map_lookup_elem(&pilus_backends, &key);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The node's own devices. */
#pragma once
#include "common.h"

#define DEVICE_SLOTS 65536

struct device {
	struct address ipv4; /* the address that pods take there; zero: no masquerading */
	struct address ipv6;
	__u32 ifindex; /* 0: no device */
	__u8 mac[6];   /* zero: it has none */
	__u8 pad[2];
};

/* Slot: ifindex & 0xffff, as of pilus_endpoints. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DEVICE_SLOTS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct device);
} pilus_devices SEC(".maps");

static __always_inline struct device *device_by_ifindex(__u32 ifindex)
{
	__u32 slot = ifindex & (DEVICE_SLOTS - 1);
	struct device *d = bpf_map_lookup_elem(&pilus_devices, &slot);

	return d && d->ifindex == ifindex ? d : NULL;
}

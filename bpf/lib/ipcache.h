// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Addresses: an endpoint of this node, a remote pod, a node, a service, or the world. */
#pragma once
#include "common.h"

/* Reserved identities; the numbers are Cilium's. */
enum identity {
	IDENTITY_UNKNOWN = 0,
	IDENTITY_HOST = 1,
	IDENTITY_WORLD = 2,
	IDENTITY_UNMANAGED = 3,
	IDENTITY_HEALTH = 4,
	IDENTITY_INIT = 5,
	IDENTITY_REMOTE_NODE = 6,
	IDENTITY_KUBE_APISERVER = 7,
	IDENTITY_INGRESS = 8,
	IDENTITY_WORLD_IPV4 = 9,
	IDENTITY_WORLD_IPV6 = 10,
	IDENTITY_CLUSTER_MIN = 256,
	IDENTITY_SCOPE_LOCAL = 0x01000000, /* a prefix, numbered by this node alone */
};

enum ipcache_flags {
	IPCACHE_LOCAL = 1,   /* an endpoint of this node: `ifindex` */
	IPCACHE_NODE = 2,    /* an address of a node, this one's own with IDENTITY_HOST */
	IPCACHE_SERVICE = 4, /* some port of it is a service */
	IPCACHE_TUNNEL = 8,  /* reached through the tunnel to `node` */
	IPCACHE_VACANT = 16, /* of a node's pod CIDR, and no pod is known to have it */
};

struct ipcache_entry {
	__u32 identity;
	__u32 ifindex;	     /* with IPCACHE_LOCAL: the endpoint's */
	struct address node; /* of another node or its pod: where the tunnel to it ends */
	__u32 flags;	     /* enum ipcache_flags */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct address);
	__type(value, struct ipcache_entry);
} pilus_ipcache SEC(".maps");

struct cidr_key {
	__u32 prefix_length; /* of the mapped form: an IPv4 /24 is 120 */
	__u8 address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct cidr_key);
	__type(value, struct ipcache_entry);
} pilus_cidrs SEC(".maps");

/* The pod CIDRs of other nodes: what a node may send from before its pods are known. Value: the
 * address where the tunnel to it ends. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct cidr_key);
	__type(value, struct address);
} pilus_node_cidrs SEC(".maps");

static __always_inline struct ipcache_entry *ipcache_exact(const struct address *a)
{
	return bpf_map_lookup_elem(&pilus_ipcache, a);
}

/* The ifindex of the endpoint of this node whose address it is, or 0. */
static __always_inline __u32 endpoint_ifindex(const struct ipcache_entry *row)
{
	return row && row->flags & IPCACHE_LOCAL ? row->ifindex : 0;
}

static __always_inline struct ipcache_entry *ipcache_prefix(const struct address *a)
{
	struct cidr_key key;

	key.prefix_length = 128;
	__builtin_memcpy(key.address, a, 16);
	return bpf_map_lookup_elem(&pilus_cidrs, &key);
}

static __always_inline bool is_vacant(const struct ipcache_entry *e)
{
	return e && e->flags & IPCACHE_VACANT;
}

static __always_inline __u32 identity_of_world(const struct address *a)
{
	return address_is_v4(a) ? IDENTITY_WORLD_IPV4 : IDENTITY_WORLD_IPV6;
}

static __always_inline struct ipcache_entry *ipcache_lookup(const struct address *a)
{
	struct ipcache_entry *e = ipcache_exact(a);

	return e ? e : ipcache_prefix(a);
}

/* The other node that has this address, by the address where its tunnel ends; NULL: none has. */
static __always_inline const struct address *other_node(const struct address *a)
{
	struct ipcache_entry *row = ipcache_exact(a);

	return row && row->flags & IPCACHE_NODE && row->identity != IDENTITY_HOST ? &row->node
										  : NULL;
}

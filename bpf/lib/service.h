// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Services: a frontend names a range of backends. Ranges and tables are never changed, only
 * replaced, so that no packet finds a row that points at nothing.
 */
#pragma once
#include "common.h"

struct service_key {
	struct address address; /* unspecified: a port of the node, which sockets must not bind */
	__be16 port;
	__u8 protocol;
	__u8 pad[5];
};

enum service_flags {
	SERVICE_EXTERNAL = 1,	   /* answers clients outside the cluster too */
	SERVICE_SOURCE_RANGES = 2, /* those must be in a prefix of pilus_source_ranges */
	SERVICE_DSR_IPIP = 4,	/* to backends elsewhere in an IP tunnel; they answer the client */
	SERVICE_DSR_OPTION = 8, /* likewise, with an IP option; without either: SNAT */
	SERVICE_NODE_PORT = 16, /* a port of every node, at other nodes' addresses too */
};

/* Where a client of a service is. */
enum service_scope {
	SCOPE_INTERNAL = 0, /* pods, and this node itself */
	SCOPE_EXTERNAL = 1,
	SCOPES = 2,
};

struct service_side {
	__u32 set;   /* first row of pilus_backends */
	__u32 count; /* rows of the set that new connections go to, the first ones; 0: refuse */
	__u32 table; /* first row of pilus_maglev; 0: the choice is random and kept in pilus_choices
		      */
	__u32 total; /* rows of the set, with those that only keep what they have */
};

struct service {
	__u32 id;	  /* number of the service's port, for people and in other maps */
	__u32 flags;	  /* enum service_flags */
	__u32 affinity_s; /* seconds that a client keeps its backend; 0: no affinity */
	__u32 pad;
	struct service_side side[SCOPES]; /* by enum service_scope */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct service_key);
	__type(value, struct service);
} pilus_services SEC(".maps");

enum backend_flags {
	BACKEND_LOCAL = 1,  /* a pod of this node, or the node itself */
	BACKEND_TUNNEL = 2, /* reached through the tunnel */
};

/* The next hop to a backend, cached by the programs. */
struct next_hop {
	__u32 ifindex;
	__u32 mtu;
	__u8 next_mac[6];
	__u8 own_mac[6];
	__u8 pad[4];
	__u64 resolved; /* when, CLOCK_MONOTONIC, ns; 0: never */
};

struct backend {
	struct address address;
	__be16 port;
	__u8 flags; /* enum backend_flags */
	__u8 pad[5];
	struct next_hop hop;
	__u64 hits; /* how often it was chosen: a connection once, a datagram each time */
};

/* Index: a side's `set` and up; row 0 is unused. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 131072);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct backend);
} pilus_backends SEC(".maps");

/*
 * Maglev (Eisenbud et al., NSDI 2016): a hash chooses a slot, and the slot says which backend of
 * the set. A flow needs no memory as long as its slot has never changed. Where it has, the slot
 * also holds the backend of flows that began before, and new flows are kept in pilus_choices.
 */
#define MAGLEV_ROW_SLOTS  512
#define SLOT_INDEX_MASK	  0x3fff			   /* of a backend in the set */
#define SLOT_NOW(slot)	  ((slot) & SLOT_INDEX_MASK)	   /* for new flows */
#define SLOT_BEFORE(slot) ((slot) >> 14 & SLOT_INDEX_MASK) /* for TCP flows without a choice */
#define SLOT_YOUNG                                                                                 \
	0x40000000	    /* the change is young: `before` for datagrams without a choice too    \
			     */
#define SLOT_ASK 0x80000000 /* flows may have a choice */

struct maglev_row {
	__u32 slots[MAGLEV_ROW_SLOTS];
};

/* Index: a side's `table` and up, `maglev_size` slots over so many rows; row 0 is unused. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8192);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct maglev_row);
} pilus_maglev SEC(".maps");

/* Prefixes of clients that a service with SERVICE_SOURCE_RANGES answers. */
struct source_range_key {
	__u32 prefix_length; /* 32 and that of the mapped form: an IPv4 /24 is 152 */
	__u32 service;	     /* id */
	__u8 address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct source_range_key);
	__type(value, __u32);
} pilus_source_ranges SEC(".maps");

/* The position of a service's backend in the sets of its sides; no entry: it was removed. */
struct backend_index_key {
	struct address address;
	__u32 service; /* id */
	__be16 port;
	__u8 pad[2];
};

struct backend_index {
	__u32 index[SCOPES]; /* in the set of that side, and 1; 0: not in it */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct backend_index_key);
	__type(value, struct backend_index);
} pilus_backend_index SEC(".maps");

/* A backend that was chosen and is kept to. */
struct choice {
	struct address backend;
	__be16 port;
	__u16 owner; /* of a share */
	__u32 row;   /* of pilus_backends; it may be another backend's by now */
	__u64 used;  /* CLOCK_MONOTONIC, ns; renewed at most once a second */
};

struct affinity_key {
	struct address client; /* of a socket the cookie of its network namespace */
	__u32 service;	       /* id */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct affinity_key);
	__type(value, struct choice);
} pilus_affinity SEC(".maps");

/* A flow from a client to a frontend. */
struct choice_key {
	struct address client;
	struct address frontend;
	__be16 client_port;
	__be16 frontend_port;
	__u8 protocol;
	__u8 pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct choice_key);
	__type(value, struct choice);
} pilus_choices SEC(".maps");

/* Flows to pods of this node that come with direct server return. Value: the pod's port, network
 * order. */
struct dsr_frontend_key {
	struct address frontend;
	struct address backend;
	__be16 port; /* of the frontend */
	__u8 protocol;
	__u8 pad[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct dsr_frontend_key);
	__type(value, __u32);
} pilus_dsr_frontends SEC(".maps");

static __always_inline struct service *service_lookup(const struct address *address, __be16 port,
						      __u8 protocol)
{
	struct service_key key = {};

	key.address = *address;
	key.port = port;
	key.protocol = protocol;
	return bpf_map_lookup_elem(&pilus_services, &key);
}

/* Whether a service has the port at all of the node's addresses. */
static __always_inline bool is_service_port(__be16 port, __u8 protocol)
{
	struct address any = {};

	return service_lookup(&any, port, protocol);
}

static __always_inline struct backend *backend_at(const struct service_side *side, __u32 index)
{
	__u32 row = side->set + index;

	return bpf_map_lookup_elem(&pilus_backends, &row);
}

/* The backend for a random number; NULL without one. */
static __always_inline struct backend *backend_for(const struct service_side *side, __u32 number)
{
	return side->count ? backend_at(side, number % side->count) : NULL;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Run by the agent: deletes expired connections and NAT mappings within the kernel. */
#include "lib/common.h"
#include "lib/config.h"
#include "lib/conntrack.h"
#include "lib/nat.h"

struct bpf_map;

struct garbage {
	__u64 now;	   /* CLOCK_MONOTONIC, ns */
	__u64 connections; /* rows deleted */
	__u64 mappings;
};

static long collect_connection(struct bpf_map *map, struct ct_key *key, struct ct_entry *entry,
			       struct garbage *g)
{
	if (entry->expires < g->now && !bpf_map_delete_elem(&pilus_ct, key))
		g->connections++;
	return 0;
}

static long collect_mapping(struct bpf_map *map, struct nat_key *key, struct nat_entry *entry,
			    struct garbage *g)
{
	__u64 end = entry->used + nat_lifetime(key->protocol, entry->flags);

	if (end < g->now && !bpf_map_delete_elem(&pilus_nat, key))
		g->mappings++;
	return 0;
}

SEC("syscall")
int collect_garbage(struct garbage *ctx)
{
	struct garbage g = {};

	g.now = bpf_ktime_get_ns();
	bpf_for_each_map_elem(&pilus_ct, collect_connection, &g, 0);
	bpf_for_each_map_elem(&pilus_nat, collect_mapping, &g, 0);
	*ctx = g;
	return 0;
}

char _license[] SEC("license") = "GPL";

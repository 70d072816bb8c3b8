// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The node's devices before the stack: prefilter and load balancer. */
#define CONTEXT struct xdp_md
#include "lib/common.h"
#include "lib/config.h"
#include "lib/node.h"
#include "lib/parse.h"
#include "lib/prefilter.h"
#include "lib/service.h"

SEC("xdp")
int from_wire(struct xdp_md *ctx)
{
	struct packet p = {};
	struct service *s;
	struct node *node = this_node();
	struct affinity_key k = {};
	struct choice_key c = {};
	struct member_key m = {};
	struct tunnelled_key t = {};
	struct source_range_key r = {};
	__u32 row = 1;

	if (!node || parse_packet(ctx, ETH_HLEN, 4, &p))
		return XDP_PASS;
	if (node->denied && is_denied(&p.tuple.source))
		return XDP_DROP;
	bpf_map_lookup_elem(&pilus_affinity, &k);
	bpf_map_lookup_elem(&pilus_choices, &c);
	bpf_map_lookup_elem(&pilus_members, &m);
	bpf_map_lookup_elem(&pilus_tunnelled, &t);
	bpf_map_lookup_elem(&pilus_source_ranges, &r);
	bpf_map_lookup_elem(&pilus_maglev, &row);
	s = service_lookup(&p.tuple.destination, p.tuple.destination_port, p.tuple.protocol);
	return s && backend_for(&s->side[0], 1) ? XDP_TX : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";

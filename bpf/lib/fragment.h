// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Ports of fragmented datagrams: stored by the first fragment, looked up by the later ones. */
#pragma once
#include "parse.h"

struct fragment_key {
	struct address source;
	struct address destination;
	__u32 id; /* as in the packet */
	__u8 protocol;
	__u8 pad[3];
};

struct fragment_ports {
	__be16 source;
	__be16 destination;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} pilus_fragments SEC(".maps");

/* Fills the ports of a later fragment, or remembers those of a first one. */
static __always_inline int fragment_track(struct packet *p)
{
	struct fragment_key key = {};
	struct fragment_ports *known, ports;

	if (likely(!(p->flags & PACKET_FRAGMENT)))
		return 0;
	key.source = p->tuple.source;
	key.destination = p->tuple.destination;
	key.id = p->fragment_id;
	key.protocol = p->tuple.protocol;
	if (p->flags & PACKET_FRAGMENT_LATER) {
		known = bpf_map_lookup_elem(&pilus_fragments, &key);
		if (!known)
			return DROP(FRAGMENT_NOT_FOUND);
		p->tuple.source_port = known->source;
		p->tuple.destination_port = known->destination;
		return 0;
	}
	ports.source = p->tuple.source_port;
	ports.destination = p->tuple.destination_port;
	bpf_map_update_elem(&pilus_fragments, &key, &ports, BPF_ANY);
	return 0;
}

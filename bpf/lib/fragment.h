// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Ports of fragmented datagrams: stored by the first fragment, looked up by the later ones. Each
 * sender has cells of its own, so that the datagrams of one push out no other's.
 */
#pragma once
#include "endpoint.h"
#include "hash.h"
#include "parse.h"

/* Of one sender at the same time. */
#define SENDER_DATAGRAMS 64
/* Numbers of devices by the slot of their ifindex, then others' by a hash of their address. */
#define LOCAL_SENDERS ENDPOINT_SLOTS
#define OTHER_SENDERS 128
/* How many have room at the same time. */
#define SENDERS_WITH_ROOM 384
/* Longer than anybody waits for the rest of a datagram. */
#define DATAGRAM_S 60

struct datagram {
	struct address source;
	struct address destination;
	__u32 id; /* as in the packet */
	__u8 protocol;
	__u8 pad[3];
	__be16 source_port;
	__be16 destination_port;
	__u32 since; /* CLOCK_MONOTONIC, s */
};

/*
 * Key: sender * SENDER_DATAGRAMS + the last bits of the id. No array: rows change as a whole. The
 * collector deletes those that are over.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SENDERS_WITH_ROOM *SENDER_DATAGRAMS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct datagram);
} pilus_datagrams SEC(".maps");

/* The number of who sent a fragment: `sender` as in fragment_track(). */
static __always_inline __u32 datagram_sender(const struct packet *p, __u32 sender)
{
	__u32 h = FLOW_HASH_SEED;

	if (sender)
		return sender & (LOCAL_SENDERS - 1);
	for (int i = 0; i < 4; i++)
		h = hash_word(h, WORD(&p->tuple.source, i));
	return LOCAL_SENDERS + ((h ^ h >> 15) & (OTHER_SENDERS - 1));
}

static __always_inline __u32 datagram_cell(const struct packet *p, __u32 sender)
{
	__u32 id = bpf_ntohl(p->fragment_id);

	return datagram_sender(p, sender) * SENDER_DATAGRAMS +
	       ((id ^ id >> 16) & (SENDER_DATAGRAMS - 1));
}

static __always_inline bool is_of_datagram(const struct packet *p, const struct datagram *d)
{
	return d->id == p->fragment_id && d->protocol == p->tuple.protocol &&
	       address_equal(&d->source, &p->tuple.source) &&
	       address_equal(&d->destination, &p->tuple.destination);
}

/* What the first fragment of the packet's datagram has left, or NULL. */
static __always_inline struct datagram *known_datagram(const struct packet *p, __u32 sender)
{
	__u32 cell = datagram_cell(p, sender);
	struct datagram *known = bpf_map_lookup_elem(&pilus_datagrams, &cell);

	return known && is_of_datagram(p, known) ? known : NULL;
}

/* The rest of fragment_track(), with a stack frame of its own. */
__noinline int track_datagram(struct packet *p, __u32 sender)
{
	struct datagram *known, row = {};
	__u32 cell;

	if (!p)
		return DROP(FRAGMENT_NOT_FOUND);
	if (p->flags & PACKET_FRAGMENT_LATER) {
		known = known_datagram(p, sender);
		if (!known)
			return DROP(FRAGMENT_NOT_FOUND);
		p->tuple.source_port = known->source_port;
		p->tuple.destination_port = known->destination_port;
		return 0;
	}
	row.source = p->tuple.source;
	row.destination = p->tuple.destination;
	row.id = p->fragment_id;
	row.protocol = p->tuple.protocol;
	row.source_port = p->tuple.source_port;
	row.destination_port = p->tuple.destination_port;
	row.since = bpf_ktime_get_coarse_ns() / NS_PER_SECOND;
	cell = datagram_cell(p, sender);
	bpf_map_update_elem(&pilus_datagrams, &cell, &row, BPF_ANY);
	return 0;
}

/*
 * Fills the ports of a later fragment, or remembers those of a first one. `sender`: the ifindex of
 * the endpoint that it came from, 0: of another. Returns 0 or a negative drop reason.
 */
static __always_inline int fragment_track(struct packet *p, __u32 sender)
{
	return likely(!(p->flags & PACKET_FRAGMENT)) ? 0 : track_datagram(p, sender);
}

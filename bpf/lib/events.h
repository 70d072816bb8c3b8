// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Events to the agent, and metrics. */
#pragma once
#include "common.h"
#include "config.h"
#include "parse.h"
#include "policy.h"
#include "reasons.h"

enum event_type {
	EVENT_DROP = 1,
	EVENT_TRACE = 2,
	EVENT_VERDICT = 3,
};

#define EVENT_TYPES 16 /* room for types; a power of two */

/* The hook where a packet was observed. */
enum observation_point {
	POINT_FROM_ENDPOINT = 1,
	POINT_TO_ENDPOINT = 2,
	POINT_FROM_NETWORK = 3,
	POINT_TO_NETWORK = 4,
	POINT_FROM_OVERLAY = 5,
	POINT_TO_OVERLAY = 6,
};

enum connection_status {
	STATUS_UNKNOWN = 0,
	STATUS_NEW = 1,
	STATUS_ESTABLISHED = 2,
	STATUS_REPLY = 3,
	STATUS_RELATED = 4,
};

/* Every record of pilus_events begins with it. */
struct event_header {
	__u64 time; /* CLOCK_MONOTONIC, ns */
	__u32 cpu;
	__u8 type; /* enum event_type */
	__u8 pad[3];
};

/* A record about a packet. */
struct event {
	struct event_header header;
	struct address source;
	struct address destination;
	__u32 length; /* of the packet, bytes */
	__u32 ifindex;
	__u32 source_identity;
	__u32 destination_identity;
	__u32 cookie;	/* verdicts and policy drops: the deciding rule */
	__u16 endpoint; /* id of the endpoint whose program or policy reports; 0: none */
	__be16 source_port;
	__be16 destination_port;
	__u8 point;	/* enum observation_point */
	__u8 reason;	/* enum drop_reason; 0: forwarded */
	__u8 status;	/* enum connection_status */
	__u8 direction; /* enum policy_direction, of verdicts and policy drops */
	__u8 protocol;
	__u8 family;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8388608);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} pilus_events SEC(".maps");

struct metric {
	__u64 packets;
	__u64 bytes;
};

enum metric_direction {
	METRIC_INGRESS = 0, /* towards an endpoint or this node */
	METRIC_EGRESS = 1,
	METRIC_DIRECTIONS = 2,
};

/* Index: enum metric_direction. */
struct metrics {
	struct metric direction[METRIC_DIRECTIONS];
};

/* Index: enum drop_reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASON_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct metrics);
} pilus_metrics SEC(".maps");

/* Events lost because the ring buffer was full. Index: enum event_type. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_TYPES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} pilus_lost SEC(".maps");

static __always_inline struct metrics *metrics_of(__u32 reason)
{
	__u32 index = reason & (REASON_MAX - 1);

	return bpf_map_lookup_elem(&pilus_metrics, &index);
}

static __always_inline void add_packets(struct metrics *m, __u32 direction, __u64 packets,
					__u64 bytes)
{
	m->direction[direction & 1].packets += packets;
	m->direction[direction & 1].bytes += bytes;
}

static __always_inline void count(__u32 reason, __u32 direction, __u32 length)
{
	struct metrics *m = metrics_of(reason);

	if (m)
		add_packets(m, direction, 1, length);
}

/* The fields of an event besides the packet's own. */
struct event_context {
	__u32 source_identity;
	__u32 destination_identity;
	__u32 cookie;
	__u16 endpoint;
	__u8 type;
	__u8 point;
	__u8 reason;
	__u8 status;
	__u8 direction;
	__u8 pad;
};

/* Traces and verdicts leave the last quarter of the buffer to drops. */
static __always_inline bool room_beside_drops(void)
{
	return bpf_ringbuf_query(&pilus_events, BPF_RB_AVAIL_DATA) <
	       bpf_ringbuf_query(&pilus_events, BPF_RB_RING_SIZE) / 4 * 3;
}

/* A global function: the verifier walks it once, and each caller pays a call and not a copy. */
__noinline int send_event(struct __sk_buff *skb, const struct packet *p,
			  const struct event_context *c)
{
	struct event *e;
	__u32 type;

	if (!p || !c)
		return 0;
	type = c->type & (EVENT_TYPES - 1);
	e = NULL;
	if (type == EVENT_DROP || room_beside_drops())
		e = bpf_ringbuf_reserve(&pilus_events, sizeof(*e), 0);
	if (!e) {
		__u64 *lost = bpf_map_lookup_elem(&pilus_lost, &type);

		if (lost)
			(*lost)++;
		return 0;
	}
	e->header.time = bpf_ktime_get_ns();
	e->header.cpu = bpf_get_smp_processor_id();
	*(__u32 *)&e->header.type = type;
	e->source = p->tuple.source;
	e->destination = p->tuple.destination;
	e->length = skb->len;
	e->ifindex = skb->ifindex;
	e->source_identity = c->source_identity;
	e->destination_identity = c->destination_identity;
	e->cookie = c->cookie;
	e->endpoint = c->endpoint;
	e->source_port = p->tuple.source_port;
	e->destination_port = p->tuple.destination_port;
	e->point = c->point;
	e->reason = c->reason;
	e->status = c->status;
	e->direction = c->direction;
	e->protocol = p->tuple.protocol;
	e->family = p->family;
	e->tcp_flags = p->tcp_flags;
	e->icmp_type = p->icmp_type;
	__builtin_memset(e->pad, 0, sizeof(e->pad));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Reports a forwarded packet when the trace level is at least `level`. */
static __always_inline void trace(struct __sk_buff *skb, const struct packet *p,
				  struct event_context *c, __u32 level)
{
	if (likely(trace_level() < level))
		return;
	c->type = EVENT_TRACE;
	c->reason = 0;
	send_event(skb, p, c);
}

/* Counts and reports a drop. Returns the TC verdict. The one place for drops. */
static __always_inline int drop(struct __sk_buff *skb, const struct packet *p,
				struct event_context *c, int reason, __u32 metric_direction)
{
	count(-reason, metric_direction, skb->len);
	c->type = EVENT_DROP;
	c->reason = -reason;
	send_event(skb, p, c);
	return TC_ACT_SHOT;
}

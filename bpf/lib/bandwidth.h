// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The bandwidth of pods. What leaves the node gets the time of its departure, which the queues of
 * the devices (fq) keep; what arrives is counted against a bucket and dropped when it is spent.
 */
#pragma once
#include "common.h"
#include "config.h"
#include "endpoint.h"
#include "reasons.h"

#define LIMITED_PODS 16384
/* What departs later than that is dropped. */
#define DEPARTURE_HORIZON_NS (2 * NS_PER_SECOND)
/* What a pod may receive at once after it was idle, as time at its rate. */
#define ARRIVAL_BURST_NS (NS_PER_SECOND / 4)
/* Of what each segment of a large packet has besides its part of it. */
#define SEGMENT_HEADERS 54

/* Rates in bytes per second, 0: no limit. The times are the programs' own: CLOCK_MONOTONIC, ns, of
 * when the next packet may depart, and of when all that has arrived would have at that rate. */
struct bandwidth {
	__u64 egress;
	__u64 ingress;
	__u64 departs;
	__u64 arrived;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIMITED_PODS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32); /* ifindex of the host's side */
	__type(value, struct bandwidth);
} pilus_bandwidth SEC(".maps");

static __always_inline struct bandwidth *bandwidth_of(__u32 ifindex)
{
	return bpf_map_lookup_elem(&pilus_bandwidth, &ifindex);
}

/* How long the packet takes at that rate, ns. */
static __always_inline __u64 duration(const struct __sk_buff *skb, __u64 rate)
{
	__u64 length = skb->len;

	if (skb->gso_segs > 1)
		length += (skb->gso_segs - 1) * SEGMENT_HEADERS;
	return length * NS_PER_SECOND / rate;
}

/*
 * Gives what leaves the pod of `ifindex` its time of departure. Two CPUs may take the same one; the
 * rate is that of many packets. Returns 0 or a negative drop reason.
 */
__noinline int pace(struct __sk_buff *skb, __u32 ifindex)
{
	struct bandwidth *b = bandwidth_of(ifindex);
	__u64 now, departs;

	if (!can_pace || !b || !b->egress)
		return 0;
	now = bpf_ktime_get_ns();
	departs = b->departs;
	if (departs < now)
		departs = now;
	if (departs - now > DEPARTURE_HORIZON_NS)
		return DROP(RATE_LIMITED);
	b->departs = departs + duration(skb, b->egress);
	if (departs > now)
		bpf_skb_set_tstamp(skb, departs, BPF_SKB_TSTAMP_DELIVERY_MONO);
	return 0;
}

/* Counts what arrives at the pod of `ifindex`. Returns 0 or a negative drop reason. */
__noinline int police(struct __sk_buff *skb, __u32 ifindex)
{
	struct bandwidth *b = bandwidth_of(ifindex);
	__u64 now, arrived;

	if (!b || !b->ingress)
		return 0;
	now = bpf_ktime_get_ns();
	arrived = b->arrived;
	if (arrived < now)
		arrived = now;
	if (arrived - now > ARRIVAL_BURST_NS)
		return DROP(RATE_LIMITED);
	b->arrived = arrived + duration(skb, b->ingress);
	return 0;
}

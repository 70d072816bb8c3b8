// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* For tests and benchmarks: events without packets, of as many addresses as a node meets. */
#include "../../bpf/lib/events.h"

#define ADDRESSES 1024 /* half of them IPv6 */

__u32 runs;

static __always_inline void made_address(struct address *a, __u32 number)
{
	if (number & 1) {
		HALF(a, 0) = bpf_cpu_to_be64(0xfd60ULL << 48);
		HALF(a, 1) = bpf_cpu_to_be64(number);
	} else {
		address_from_v4(a, bpf_htonl(0x0a3c0000 | number)); /* 10.60.0.0/16 */
	}
}

/* skb->mark is the event's type. */
SEC("tc")
int emit(struct __sk_buff *skb)
{
	__u32 run = runs++;
	struct packet p = {.tcp_flags = TCP_SYN};
	struct event_context c = {
	    .source_identity = 1000 + (run & 0xff),
	    .destination_identity = 1000 + (run >> 8 & 0xff),
	    .cookie = 1 + (run & 7),
	    .endpoint = 1 + (run & 0x7f),
	    .type = skb->mark,
	    .point = POINT_FROM_ENDPOINT,
	    .reason = skb->mark == EVENT_DROP ? -DROP(POLICY_DENIED) : 0,
	    .status = STATUS_NEW,
	};

	p.family = run & 1 ? 6 : 4;
	made_address(&p.tuple.source, run % ADDRESSES);
	made_address(&p.tuple.destination, (run * 40503u) % ADDRESSES / 2 * 2 + (run & 1));
	p.tuple.source_port = bpf_htons(run);
	p.tuple.destination_port = bpf_htons(8080);
	p.tuple.protocol = IPPROTO_TCP;
	send_event(skb, &p, &c);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";

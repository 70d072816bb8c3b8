// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// What the tests of datapath/bpf load.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

volatile const __u32 verdict __attribute__((btf_decl_tag("what tc_verdict returns"))) = 0;
volatile const __u64 cookie = 0;
volatile const __s16 offset = 0;
volatile const __u8 address[16] = {};

enum kind {
	KIND_NONE,
	KIND_PACKET = 3,
};

struct flow_key {
	__be32 source;
	__be16 port;
	__u8 flags : 3;
	__u8 family : 5;
	__u8 pad;
};

struct flow {
	__u64 packets;
	__u32 bytes;
	__u8 mac[6];
	__u16 pad;
	enum kind kind;
	struct {
		__u32 first;
		__u32 second;
	} nested;
};

struct event {
	__u64 cookie;
	__u32 length;
	enum kind kind;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

static __always_inline void count(__u32 slot)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &slot);

	if (counter)
		*counter += 1;
}

SEC("tc")
int tc_verdict(struct __sk_buff *skb)
{
	struct event *event;

	count(0);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		event->cookie = cookie;
		event->length = skb->len;
		event->kind = KIND_PACKET;
		bpf_ringbuf_submit(event, 0);
	}
	skb->mark = address[15] + offset;
	return verdict;
}

SEC("tc")
int tc_discard(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (event)
		bpf_ringbuf_discard(event, 0);
	return skb->ifindex ? 0 : verdict;
}

// Fills the ring with many small records, for the benchmark.
SEC("tc")
int tc_fill(struct __sk_buff *skb)
{
	for (int i = 0; i < 1000; i++) {
		__u64 *record = bpf_ringbuf_reserve(&events, 8, 0);

		if (!record)
			return i;
		*record = i;
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	}
	return 1000;
}

SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	struct flow_key key = {.source = 0x0a000001, .port = 0x5000};
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);

	count(1);
	if (flow)
		__sync_fetch_and_add(&flow->packets, 1);
	return XDP_PASS;
}

SEC("cgroup/connect4")
int refuse_connect(struct bpf_sock_addr *ctx)
{
	return ctx->user_port != 0x0100; // port 1
}

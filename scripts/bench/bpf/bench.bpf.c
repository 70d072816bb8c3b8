// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// A table and a ring for measuring what readers and writers of them take.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 20000);
	__type(key, __u64);
	__type(value, __u64);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

static __always_inline void submit(__u32 number)
{
	__u64 *record = bpf_ringbuf_reserve(&events, 16, 0);

	if (!record)
		return;
	record[0] = number ? number : bpf_ktime_get_ns();
	record[1] = 0;
	bpf_ringbuf_submit(record, 0);
}

SEC("tc")
int fill(struct __sk_buff *skb)
{
	for (__u32 i = 1; i <= 1000; i++)
		submit(i);
	return 0;
}

SEC("tc")
int one(struct __sk_buff *skb)
{
	submit(0);
	return 0;
}

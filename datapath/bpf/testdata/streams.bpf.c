// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// What goes to user space by perf events, and comes from it by a ring.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} outputs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 65536);
} inputs SEC(".maps");

__u64 number, sum, count;

SEC("tc")
int output(struct __sk_buff *skb)
{
	__u64 record[2] = {number++, 7};

	return bpf_perf_event_output(skb, &outputs, BPF_F_CURRENT_CPU, record, sizeof(record)) != 0;
}

static long add(struct bpf_dynptr *input, void *context)
{
	__u32 value = 0;

	if (bpf_dynptr_read(&value, sizeof(value), input, 0, 0))
		return 1;
	sum += value;
	count++;
	return 0;
}

SEC("tc")
int take(struct __sk_buff *skb)
{
	return bpf_user_ringbuf_drain(&inputs, add, 0, 0) < 0;
}

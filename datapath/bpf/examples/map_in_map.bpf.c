// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Counts packets in the map that is at the front of a map of maps.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct counters {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct counters);
} front SEC(".maps");

SEC("tc")
int count(struct __sk_buff *skb)
{
	__u32 zero = 0;
	void *counters = bpf_map_lookup_elem(&front, &zero);
	__u64 *known = counters ? bpf_map_lookup_elem(counters, &zero) : 0;

	if (known)
		__sync_fetch_and_add(known, 1);
	return -1; /* TCX_NEXT: whatever comes next decides */
}

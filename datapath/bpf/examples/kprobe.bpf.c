// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Counts files that are removed, by CPU.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} removed SEC(".maps");

SEC("kprobe/do_unlinkat")
int count(void *ctx)
{
	__u32 zero = 0;
	__u64 *known = bpf_map_lookup_elem(&removed, &zero);

	if (known)
		*known += 1;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// A program for each kind of hook: it counts its calls.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

static __always_inline int called(int result)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&calls, &zero);

	if (count)
		__sync_fetch_and_add(count, 1);
	return result;
}

#define PROGRAM(section, name, result)                                                             \
	SEC(section)                                                                               \
	int name(void *ctx)                                                                        \
	{                                                                                          \
		return called(result);                                                             \
	}

PROGRAM("kprobe/do_unlinkat", on_kprobe, 0)
PROGRAM("kretprobe/do_unlinkat", on_kretprobe, 0)
PROGRAM("kprobe.multi", on_kprobe_multi, 0)
PROGRAM("uprobe", on_uprobe, 0)
PROGRAM("uretprobe", on_uretprobe, 0)
PROGRAM("uprobe.multi", on_uprobe_multi, 0)
PROGRAM("tracepoint/sched/sched_switch", on_tracepoint, 0)
PROGRAM("raw_tp/sched_switch", on_raw_tracepoint, 0)
PROGRAM("tp_btf/sched_switch", on_tp_btf, 0)
PROGRAM("fentry/bpf_fentry_test1", on_fentry, 0)
PROGRAM("fexit/bpf_fentry_test1", on_fexit, 0)
PROGRAM("fmod_ret/bpf_modify_return_test", on_fmod_ret, 0)
PROGRAM("lsm/file_open", on_lsm, 0)
PROGRAM("perf_event", on_perf_event, 0)
PROGRAM("sk_lookup", on_sk_lookup, 1)
PROGRAM("flow_dissector", on_flow_dissector, 0)
PROGRAM("netfilter", on_netfilter, 1)
PROGRAM("netkit/primary", on_netkit, -1)
PROGRAM("socket", on_socket, 0)
PROGRAM("xdp", on_xdp, 2)
PROGRAM("tc", on_tc, -1)
PROGRAM("cgroup_skb/egress", on_cgroup_skb, 1)
PROGRAM("cgroup/connect4", on_connect4, 1)
PROGRAM("sk_skb/stream_verdict", on_stream, 1)

__noinline int replaced(struct xdp_md *ctx)
{
	int result = XDP_PASS;

	barrier_var(result);
	return ctx ? result : 0;
}

SEC("xdp")
int target(struct xdp_md *ctx)
{
	return replaced(ctx);
}

SEC("freplace/replaced")
int replacement(struct xdp_md *ctx)
{
	return called(XDP_DROP);
}

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} __attribute__((preserve_access_index));
struct bpf_map;
struct bpf_iter__bpf_map_elem {
	union {
		struct bpf_iter_meta *meta;
	};
	union {
		struct bpf_map *map;
	};
	union {
		void *key;
	};
	union {
		void *value;
	};
} __attribute__((preserve_access_index));

SEC("iter/bpf_map_elem")
int on_element(struct bpf_iter__bpf_map_elem *ctx)
{
	static const char format[] = "%d %d\n";
	const __u32 *key = ctx->key;
	const __u64 *value = ctx->value;
	__u64 arguments[2];

	/* the end of the walk has none */
	if (!key || !value)
		return 0;
	arguments[0] = *key;
	arguments[1] = *value;
	bpf_seq_printf(ctx->meta->seq, format, sizeof(format), arguments, sizeof(arguments));
	return called(0);
}

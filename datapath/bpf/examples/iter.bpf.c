// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Lists the processes.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));
struct task_struct {
	int pid;
	int tgid;
	char comm[16];
} __attribute__((preserve_access_index));
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

SEC("iter/task")
int list(struct bpf_iter__task *ctx)
{
	static const char format[] = "%d\t%s\n";
	struct task_struct *task = ctx->task;
	__u64 values[2];

	if (!task || task->pid != task->tgid)
		return 0;
	values[0] = task->pid;
	values[1] = (__u64)task->comm;
	bpf_seq_printf(ctx->meta->seq, format, sizeof(format), values, sizeof(values));
	return 0;
}

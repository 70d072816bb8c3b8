// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Variables of each section and kind.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

enum mode { MODE_OFF, MODE_ON = 7, MODE_LOW = -2 };

struct inner {
	__s16 low;
	__u16 high;
};

struct setting {
	__u32 number;
	__s64 wide;
	enum mode mode;
	_Bool on;
	char name[12];
	__u8 list[3];
	struct inner inner;
	unsigned int three : 3;
	int signed_five : 5;
	unsigned int rest : 24;
	union {
		__u32 word;
		__u8 bytes[4];
	};
};

const volatile __u32 limit = 5;
const volatile struct setting fixed = {.name = "start"};
struct setting current = {.number = 3, .wide = -4, .mode = MODE_LOW, .on = 1, .name = "first"};
__u64 counter;
double ratio;

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&counter, 1);
	current.number += limit;
	current.signed_five = -3;
	current.inner.low = fixed.inner.low;
	return current.mode == MODE_ON ? 1 : 2;
}

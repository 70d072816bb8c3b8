// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What is fixed when a program is loaded (.rodata), and what an operator may change while it runs.
 */
#pragma once
#include "common.h"

#define CONFIG(type, name, text)                                                                   \
	const volatile type name __attribute__((btf_decl_tag("config: " text)))

CONFIG(__u8, routing_mode, "0 native routing, 1 VXLAN") = 0;
CONFIG(__u8, masquerade, "1: pods that leave the cluster take the address of the device") = 1;
CONFIG(__u8, node_mac_check, "1: what another node on the link sends has its MAC") = 1;
CONFIG(__u8, can_pace, "1: programs may set the time of a packet's departure (Linux 5.18)") = 1;
CONFIG(__u32, tunnel_ifindex, "ifindex of the VXLAN device, 0 without one") = 0;
CONFIG(__u16, tunnel_port, "UDP port of the tunnel, host order") = 8472;
CONFIG(__u64, host_netns_cookie, "SO_NETNS_COOKIE of the node's own network namespace") = 0;
CONFIG(__u32, ct_tcp_established_s,
       "seconds that an idle established TCP connection is kept") = 8000;
CONFIG(__u32, ct_tcp_opening_s, "seconds that an unanswered SYN is kept") = 60;
CONFIG(__u32, ct_tcp_closing_s, "seconds that a closing TCP connection is kept") = 10;
CONFIG(__u32, ct_other_s, "seconds that an idle flow of another protocol is kept") = 60;
CONFIG(__u32, maglev_size, "slots of a Maglev table, a prime") = 16381;
CONFIG(__u16, nat_port_min,
       "first source port that masquerading chooses itself, host order") = 1024;
CONFIG(__u16, nat_port_max,
       "last source port that masquerading chooses itself, host order") = 65535;

#define ROUTING_NATIVE 0
#define ROUTING_VXLAN  1

enum trace_level {
	TRACE_LEVEL_NONE = 0,
	TRACE_LEVEL_CONNECTIONS = 1,
	TRACE_LEVEL_PACKETS = 2,
};

struct runtime {
	__u32 trace_level; /* enum trace_level */
	__u32 sockmap;	   /* 1: redirect messages of connections within the node */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct runtime);
} pilus_runtime SEC(".maps");

static __always_inline __u32 trace_level(void)
{
	__u32 zero = 0;
	struct runtime *r = bpf_map_lookup_elem(&pilus_runtime, &zero);
	return r ? r->trace_level : TRACE_LEVEL_NONE;
}

/*
 * skb->mark between our programs, in the bits 8 to 11 that the field uses for it; the others are
 * left to their owners (kube-proxy 0x4000 and 0x8000).
 */
#define MARK_MASK	0x0f00
#define MARK_NAT_DONE	0x0300 /* host program: the source is translated */
#define MARK_OVERLAY	0x0400 /* the tunnel key is set */
#define MARK_MASQUERADE 0x0500 /* pod program: translate the source where it leaves */
#define MARK_STACK_HAS	0x0600 /* fragment_order.h: received anew, and the stack had it before */

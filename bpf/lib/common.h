// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Types and small helpers of every program. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define NS_PER_SECOND 1000000000ULL

/* The first 8 bytes of ICMP in both families; <linux/icmp.h> draws in the C library. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 id; /* echo */
	__be16 sequence;
};

#define ICMP_ECHOREPLY	    0
#define ICMP_DEST_UNREACH   3
#define ICMP_ECHO	    8
#define ICMP_TIME_EXCEEDED  11
#define ICMP_PARAMETERPROB  12
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PARAMPROB    4
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY   129

/* An address of either family, network order; IPv4 is mapped (::ffff:a.b.c.d, RFC 4291 2.5.5.2). */
struct address {
	__u8 bytes[16];
} __attribute__((aligned(8)));

#define HALF(addr, i) (((__u64 *)(addr)->bytes)[i])
#define WORD(addr, i) (((__u32 *)(addr)->bytes)[i])

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	return *(__u32 *)a == *(__u32 *)b && *(__u16 *)&a[4] == *(__u16 *)&b[4];
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	/* the second half first: that of two IPv4 addresses differs, the first does not */
	return HALF(a, 1) == HALF(b, 1) && HALF(a, 0) == HALF(b, 0);
}

static __always_inline void address_from_v4(struct address *to, __be32 from)
{
	HALF(to, 0) = 0;
	WORD(to, 2) = bpf_htonl(0xffff);
	WORD(to, 3) = from;
}

static __always_inline bool address_is_v4(const struct address *a)
{
	return HALF(a, 0) == 0 && WORD(a, 2) == bpf_htonl(0xffff);
}

/* 224.0.0.0/4, 255.255.255.255 and ff00::/8 */
static __always_inline bool address_is_multicast(const struct address *a)
{
	if (address_is_v4(a))
		return (a->bytes[12] & 0xf0) == 0xe0 || WORD(a, 3) == 0xffffffff;
	return a->bytes[0] == 0xff;
}

/* :: */
static __always_inline bool address_is_unspecified(const struct address *a)
{
	return HALF(a, 0) == 0 && HALF(a, 1) == 0;
}

/* fe80::/10 and the unspecified address */
static __always_inline bool address_is_link_local(const struct address *a)
{
	return (a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80) || address_is_unspecified(a);
}

/* 127.0.0.0/8 and ::1 */
static __always_inline bool address_is_loopback(const struct address *a)
{
	if (address_is_v4(a))
		return a->bytes[12] == 127;
	return HALF(a, 0) == 0 && HALF(a, 1) == bpf_cpu_to_be64(1);
}

/* True of all multicast, link-local and loopback addresses, and of few others: a look at one byte.
 */
static __always_inline bool address_is_special(const struct address *a)
{
	if (address_is_v4(a))
		return a->bytes[12] == 127 || a->bytes[12] >= 0xe0;
	return !a->bytes[0] || a->bytes[0] >= 0xfe;
}

/*
 * Addresses that no packet of another host has as its source: several hosts', the own one's, or
 * none (RFC 1122 3.2.1.3); those of a link are not forwarded.
 */
static __always_inline bool address_is_no_source(const struct address *a)
{
	__u8 first = a->bytes[12];

	if (address_is_v4(a))
		return !first || first == 127 || address_is_multicast(a);
	return address_is_multicast(a) || address_is_loopback(a) || address_is_link_local(a);
}

#ifndef barrier_var
#define barrier_var(x) asm volatile("" : "+r"(x))
#endif

/* The checksum of what bpf_csum_diff() has added up (RFC 1071). */
static __always_inline __u16 fold_checksum(__s64 sum)
{
	__u32 s = (__u32)sum;

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}

/* Keeps the compiler from merging or reordering an access that another CPU may race with. */
#define READ_ONCE(x)	 (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

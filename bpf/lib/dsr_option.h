// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The IP option that carries the frontend from the load balancer to the backend's node. */
#pragma once
#include "common.h"

/* The numbers are Cilium's. */
#define OPTION_V4_TYPE	 0x9a /* copied, class 0, number 26 */
#define OPTION_V6_TYPE	 0x1b
#define OPTION_V6_LENGTH 18 /* address and port */

/* Behind the 20 bytes of the header. */
struct option_v4 {
	__u8 type;
	__u8 length;
	__be16 port;
	__be32 address;
};

/* A destination options header. */
struct option_v6 {
	__u8 next;
	__u8 words; /* of 8 bytes, without the first */
	__u8 type;
	__u8 length;
	__u8 address[16];
	__be16 port;
	__u8 pad[2]; /* one PadN of no bytes: type 1, length 0 */
};

#define OPTION_LENGTH(family) ((family) == 4 ? sizeof(struct option_v4) : sizeof(struct option_v6))

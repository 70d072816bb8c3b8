// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Caches per CPU of what is known of a source: one row per hash of its address. */
#pragma once
#include "common.h"

#define SENDERS_BITS 9
#define SENDERS	     (1 << SENDERS_BITS)
/* How long a row holds: 25 to 250 ms by the kernel's HZ. The clock in jiffies costs no call. */
#define SENDER_JIFFIES 25

static __always_inline __u32 sender_slot(const struct address *source)
{
	return (HALF(source, 0) ^ HALF(source, 1)) * 0x9e3779b97f4a7c15 >> (64 - SENDERS_BITS);
}

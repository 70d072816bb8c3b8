// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The state of a packet from a pod, which goes through classify(), translate_service(),
 * admit_egress() and forward_egress(). Each step returns STEP_NEXT, STEP_DONE or a negative drop
 * reason.
 */
#pragma once
#include "admission.h"

#define STEP_NEXT 0
#define STEP_DONE 1 /* `verdict` is the packet's */

/* No pointer to it may reach a global function, or the compiler cannot keep it in registers. */
struct pod_egress {
	struct endpoint *ep;	  /* the sender */
	struct ipcache_entry *to; /* the destination's; NULL: unknown */
	struct ends ends;
	struct admission admission;
	int verdict;
	bool hairpin; /* the reply to a pod that reached itself through a service */
};

static __always_inline int step_done(struct pod_egress *e, int verdict)
{
	e->verdict = verdict;
	return STEP_DONE;
}

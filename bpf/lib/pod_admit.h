// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The third step of a packet from a pod: conntrack and policy. */
#pragma once
#include "hairpin.h"
#include "pod_egress.h"
#include "tunnel.h"

/* A pod sends no outer frames of the tunnel: its port is open in other pods only. */
static __always_inline bool is_encapsulated(const struct packet *p, const struct ipcache_entry *to)
{
	return tunnel_ifindex && is_to_tunnel_port(p) &&
	       !(to && to->flags & (IPCACHE_LOCAL | IPCACHE_TUNNEL) && !(to->flags & IPCACHE_NODE));
}

static __always_inline int admit_egress(struct __sk_buff *skb, struct packet *p,
					struct event_context *c, struct pod_egress *e)
{
	int err;

	if (is_encapsulated(p, e->to))
		return DROP(ENCAP_PROHIBITED);
	err = admit_and_restore(skb, p, c, &e->ends, &e->admission);
	if (!err && unlikely(e->hairpin))
		err = return_from_hairpin(skb, p, e->ep);
	return err;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Packets from the network or the overlay to a pod of this node. */
#pragma once
#include "admission.h"
#include "endpoint.h"
#include "neighbour.h"

/* Sets the destination, the pod of `ifindex`. Returns 0 or a negative drop reason. */
static __always_inline int find_destination(const struct packet *p, struct event_context *c,
					    struct ends *ends, __u32 ifindex)
{
	ends->destination = endpoint_by_ifindex(ifindex);
	if (!ends->destination)
		return DROP(ENDPOINT_NOT_READY);
	ends->destination_identity = ends->destination->identity;
	c->endpoint = ends->destination->id;
	return is_neighbour_discovery(p) ? DROP(NEIGHBOUR_DISCOVERY_FROM_AFAR) : 0;
}

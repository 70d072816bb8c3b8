// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Services for clients in the cluster. A node port is the same at every node: this node translates
 * it at other nodes' addresses too, so that the client keeps its identity.
 */
#pragma once
#include "ipcache.h"
#include "service.h"

/* The service of a node port, which every node has; its row at the loopback is in both families. */
static __always_inline struct service *node_port_lookup(const struct address *node, __be16 port,
							__u8 protocol)
{
	struct address loopback = {};
	struct service *s;

	if (address_is_v4(node))
		address_from_v4(&loopback, bpf_htonl(0x7f000001));
	else
		HALF(&loopback, 1) = bpf_cpu_to_be64(1);
	s = service_lookup(&loopback, port, protocol);
	return s && s->flags & SERVICE_NODE_PORT ? s : NULL;
}

/*
 * The service that a client in the cluster reaches: other nodes' node ports are this node's. Not
 * inlined for the stack of its callers.
 */
static __noinline struct service *internal_service_lookup(const struct address *to, __be16 port,
							  __u8 protocol)
{
	struct service *s = service_lookup(to, port, protocol);
	struct address node;

	if (s)
		return s;
	s = node_port_lookup(to, port, protocol);
	if (!s)
		return NULL;
	node = *to;
	return other_node(&node) ? s : NULL;
}

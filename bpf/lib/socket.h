// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Service translation at the socket: backend selection and the reverse look-up. */
#pragma once
#include "common.h"
#include "config.h"
#include "node_port.h"
#include "socket_revnat.h"
#include "service.h"

#define AF_INET	    2
#define SOCK_STREAM 1
#define SOCK_DGRAM  2

/* The protocol, if services can have it, else 0 (ping sockets). */
static __always_inline __u8 socket_protocol(__u32 type, __u32 protocol)
{
	if (type == SOCK_STREAM)
		return IPPROTO_TCP;
	return type == SOCK_DGRAM && protocol == IPPROTO_UDP ? IPPROTO_UDP : 0;
}

/*
 * Session affinity by network namespace: the previous backend while it accepts new connections.
 * Sets `to` and `port`, and `row` unless the backend's row has just moved.
 */
static __always_inline bool kept_backend(const struct affinity_key *client, const struct service *s,
					 struct address *to, __be16 *port, struct backend **row)
{
	const struct service_side *side = &s->side[SCOPE_INTERNAL];
	struct choice *c = bpf_map_lookup_elem(&pilus_affinity, client);
	__u64 now = bpf_ktime_get_ns();
	struct backend_index_key key = {};
	struct backend_index *index;
	struct backend *b;
	__s64 age;

	if (!c)
		return false;
	age = now - READ_ONCE(c->used); /* negative when another CPU has just renewed it */
	if (age >= (__s64)(s->affinity_s * NS_PER_SECOND))
		return false;
	key.address = c->backend;
	key.port = c->port;
	key.service = s->id;
	index = bpf_map_lookup_elem(&pilus_backend_index, &key);
	/* those that only keep connections are in the set too */
	if (!index || index->index[SCOPE_INTERNAL] - 1 >= side->count)
		return false;
	b = backend_at(side, index->index[SCOPE_INTERNAL] - 1);
	if (b && b->port == key.port && address_equal(&b->address, &key.address))
		*row = b;
	if (age > (__s64)NS_PER_SECOND)
		WRITE_ONCE(c->used, now);
	*to = key.address;
	*port = key.port;
	return true;
}

/*
 * Finds the backend for a destination and remembers the way back. Returns 1 with `to` and `port`
 * changed, 0 when it is no service, negative when the service has no backend.
 */
static __always_inline int choose(struct bpf_sock_addr *ctx, struct address *to, __be16 *port,
				  bool connects)
{
	__u8 protocol = socket_protocol(ctx->type, ctx->protocol);
	struct affinity_key client = {};
	struct socket_revnat_key key = {};
	struct socket_revnat value = {};
	struct socket_revnat *known;
	struct backend *b = NULL;
	struct choice choice = {};
	struct service *s;
	__u32 number;

	if (!protocol || (HALF(to, 0) == 0 && HALF(to, 1) == 0))
		return 0;
	s = internal_service_lookup(to, *port, protocol);
	if (!s)
		return 0;
	/* a pod's loopback is its own */
	if (address_is_loopback(to) && bpf_get_netns_cookie(ctx) != host_netns_cookie)
		return 0;
	if (!s->side[SCOPE_INTERNAL].count)
		return -1;
	value.frontend = *to;
	value.port = *port;
	value.service = s->id;
	key.cookie = bpf_get_socket_cookie(ctx);
	if (s->affinity_s) {
		HALF(&client.client, 0) = bpf_get_netns_cookie(ctx);
		client.service = s->id;
	}
	if (!s->affinity_s || !kept_backend(&client, s, to, port, &b)) {
		/* one backend for all datagrams of a socket that never connects */
		number = connects ? bpf_get_prandom_u32() : (__u32)(key.cookie ^ key.cookie >> 32);
		number %= s->side[SCOPE_INTERNAL].count;
		b = backend_at(&s->side[SCOPE_INTERNAL], number);
		if (!b)
			return -1;
		*to = b->address;
		*port = b->port;
		if (s->affinity_s) {
			choice.backend = b->address;
			choice.port = b->port;
			choice.row = s->side[SCOPE_INTERNAL].set + number;
			choice.used = bpf_ktime_get_ns();
			bpf_map_update_elem(&pilus_affinity, &client, &choice, BPF_ANY);
		}
	}
	key.backend = *to;
	key.port = *port;
	known = connects ? NULL : bpf_map_lookup_elem(&pilus_socket_revnat, &key);
	if (known && known->service == value.service && known->port == value.port &&
	    address_equal(&known->frontend, &value.frontend))
		return 1;
	bpf_map_update_elem(&pilus_socket_revnat, &key, &value, BPF_ANY);
	if (b)
		__sync_fetch_and_add(&b->hits, 1);
	return 1;
}

/* The frontend that this socket's backend was selected for. */
static __always_inline struct socket_revnat *frontend_of(struct bpf_sock_addr *ctx,
							 const struct address *peer)
{
	struct socket_revnat_key key = {};

	key.cookie = bpf_get_socket_cookie(ctx);
	key.backend = *peer;
	key.port = ctx->user_port;
	return bpf_map_lookup_elem(&pilus_socket_revnat, &key);
}

/* As frontend_of(), while the service exists: datagrams may arrive long after its removal. */
static __always_inline struct socket_revnat *live_frontend_of(struct bpf_sock_addr *ctx,
							      const struct address *peer)
{
	struct socket_revnat *r = frontend_of(ctx, peer);
	struct address frontend;
	struct service *s;

	if (!r)
		return NULL;
	frontend = r->frontend;
	s = internal_service_lookup(&frontend, r->port, socket_protocol(ctx->type, ctx->protocol));
	return s && s->id == r->service ? r : NULL;
}

/* Whether a socket of the node has bound a port of the node that is a service's. */
static __always_inline bool has_service_port(struct bpf_sock *ctx)
{
	__u8 protocol = socket_protocol(ctx->type, ctx->protocol);

	return protocol && bpf_get_netns_cookie(ctx) == host_netns_cookie &&
	       is_service_port(bpf_htons(ctx->src_port), protocol);
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Service translation at the socket: connect(2) and sendmsg(2) are sent to a backend, and the
 * calling process sees the frontend as its peer.
 */
#include "lib/socket.h"

#define ECONNREFUSED 111
#define EADDRINUSE   98

/* bpf_set_retval() exists since 5.18; without it the error is EPERM. */
enum bpf_func_id___probe {
	BPF_FUNC_set_retval___probe = 187,
};

#define REJECT 0
#define ALLOW  1

static __always_inline int reject(int error)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id___probe, BPF_FUNC_set_retval___probe))
		bpf_set_retval(-error);
	return REJECT;
}

static __always_inline void read_v6(struct address *to, const struct bpf_sock_addr *ctx)
{
	WORD(to, 0) = ctx->user_ip6[0];
	WORD(to, 1) = ctx->user_ip6[1];
	WORD(to, 2) = ctx->user_ip6[2];
	WORD(to, 3) = ctx->user_ip6[3];
}

static __always_inline void write_v6(struct bpf_sock_addr *ctx, const struct address *from)
{
	ctx->user_ip6[0] = WORD(from, 0);
	ctx->user_ip6[1] = WORD(from, 1);
	ctx->user_ip6[2] = WORD(from, 2);
	ctx->user_ip6[3] = WORD(from, 3);
}

static __always_inline int translate_v4(struct bpf_sock_addr *ctx, bool connects)
{
	struct address to;
	__be16 port = ctx->user_port;
	int found;

	address_from_v4(&to, ctx->user_ip4);
	found = choose(ctx, &to, &port, connects);
	if (found < 0)
		return reject(ECONNREFUSED);
	if (found) {
		ctx->user_ip4 = WORD(&to, 3);
		ctx->user_port = port;
	}
	return ALLOW;
}

/* A mapped IPv4 destination is the same address here as in the IPv4 hooks. */
static __always_inline int translate_v6(struct bpf_sock_addr *ctx, bool connects)
{
	struct address to;
	__be16 port = ctx->user_port;
	int found;

	read_v6(&to, ctx);
	found = choose(ctx, &to, &port, connects);
	if (found < 0)
		return reject(ECONNREFUSED);
	if (found) {
		write_v6(ctx, &to);
		ctx->user_port = port;
	}
	return ALLOW;
}

static __always_inline int restore_v4(struct bpf_sock_addr *ctx, const struct socket_revnat *r)
{
	if (r) {
		ctx->user_ip4 = WORD(&r->frontend, 3);
		ctx->user_port = r->port;
	}
	return ALLOW;
}

static __always_inline int restore_v6(struct bpf_sock_addr *ctx, const struct socket_revnat *r)
{
	if (r) {
		write_v6(ctx, &r->frontend);
		ctx->user_port = r->port;
	}
	return ALLOW;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return translate_v4(ctx, true);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return translate_v6(ctx, true);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return translate_v4(ctx, false);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return translate_v6(ctx, false);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	struct address peer;

	address_from_v4(&peer, ctx->user_ip4);
	return restore_v4(ctx, live_frontend_of(ctx, &peer));
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	struct address peer;

	read_v6(&peer, ctx);
	return restore_v6(ctx, live_frontend_of(ctx, &peer));
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct address peer;

	address_from_v4(&peer, ctx->user_ip4);
	return restore_v4(ctx, frontend_of(ctx, &peer));
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	struct address peer;

	read_v6(&peer, ctx);
	return restore_v6(ctx, frontend_of(ctx, &peer));
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock *ctx)
{
	return has_service_port(ctx) ? reject(EADDRINUSE) : ALLOW;
}

SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock *ctx)
{
	return has_service_port(ctx) ? reject(EADDRINUSE) : ALLOW;
}

/* Entries of closed sockets would evict those of long-lived connections. */
SEC("cgroup/sock_release")
int release(struct bpf_sock *ctx)
{
	struct socket_revnat_key key = {};

	if (!ctx->dst_port)
		return ALLOW;
	/* volatile: merged reads of the two families would be at an offset that the verifier
	 * refuses */
	WORD(&key.backend, 0) = READ_ONCE(ctx->dst_ip6[0]);
	WORD(&key.backend, 1) = READ_ONCE(ctx->dst_ip6[1]);
	WORD(&key.backend, 2) = READ_ONCE(ctx->dst_ip6[2]);
	WORD(&key.backend, 3) = READ_ONCE(ctx->dst_ip6[3]);
	if (ctx->family == AF_INET)
		address_from_v4(&key.backend, READ_ONCE(ctx->dst_ip4));
	key.port = ctx->dst_port;
	key.cookie = bpf_get_socket_cookie(ctx);
	bpf_map_delete_elem(&pilus_socket_revnat, &key);
	return ALLOW;
}

char _license[] SEC("license") = "GPL";

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Services at the socket: connect(2) and sendmsg(2) to a service never leave as a service address,
 * and the program that called them never learns of the backend.
 */
#include "lib/common.h"
#include "lib/config.h"
#include "lib/service.h"

#define ALLOW  1
#define REFUSE 0

#define ECONNREFUSED 111
#define SOCK_DGRAM   2

/* What a socket of a backend's pair believes to talk to. */
struct reverse_key {
	struct address backend;
	__u64 cookie; /* of the socket */
	__be16 port;
	__u8 pad[6];
};

struct reverse {
	struct address frontend;
	__be16 port;
	__u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct reverse_key);
	__type(value, struct reverse);
} pilus_reverse SEC(".maps");

/* bpf_set_retval() is there since 5.18; without it a refusal is EPERM. */
enum bpf_func_id___probe {
	BPF_FUNC_set_retval___probe = 187,
};

inline_always int refuse(void)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id___probe, BPF_FUNC_set_retval___probe))
		bpf_set_retval(-ECONNREFUSED);
	return REFUSE;
}

inline_always __u8 socket_protocol(const struct bpf_sock_addr *ctx)
{
	return ctx->type == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP;
}

inline_always void read_v6(struct address *to, const struct bpf_sock_addr *ctx)
{
	WORD(to, 0) = ctx->user_ip6[0];
	WORD(to, 1) = ctx->user_ip6[1];
	WORD(to, 2) = ctx->user_ip6[2];
	WORD(to, 3) = ctx->user_ip6[3];
}

inline_always void write_v6(struct bpf_sock_addr *ctx, const struct address *from)
{
	ctx->user_ip6[0] = WORD(from, 0);
	ctx->user_ip6[1] = WORD(from, 1);
	ctx->user_ip6[2] = WORD(from, 2);
	ctx->user_ip6[3] = WORD(from, 3);
}

/*
 * Finds the backend for a destination and remembers the way back. Returns 1 with `to` changed, 0
 * when it is no service, negative when the service has no backend.
 */
inline_always int choose(struct bpf_sock_addr *ctx, struct address *to, __be16 *port, bool connected)
{
	__u8 protocol = socket_protocol(ctx);
	struct service *s = service_lookup(to, *port, protocol);
	struct reverse_key key = {};
	struct reverse value = {};
	struct backend *b;

	if (!s)
		return 0;
	key.cookie = bpf_get_socket_cookie(ctx);
	/* one backend for all datagrams of a socket that never connects */
	b = backend_for(&s->side[SCOPE_INSIDE],
			connected ? bpf_get_prandom_u32() : (__u32)(key.cookie ^ key.cookie >> 32));
	if (!b)
		return -1;
	key.backend = b->address;
	key.port = b->port;
	value.frontend = *to;
	value.port = *port;
	bpf_map_update_elem(&pilus_reverse, &key, &value, BPF_ANY);
	*to = b->address;
	*port = b->port;
	return 1;
}

inline_always int translate_v4(struct bpf_sock_addr *ctx, bool connected)
{
	struct address to;
	__be16 port = ctx->user_port;
	int found;

	address_from_v4(&to, ctx->user_ip4);
	found = choose(ctx, &to, &port, connected);
	if (found < 0)
		return refuse();
	if (found) {
		ctx->user_ip4 = WORD(&to, 3);
		ctx->user_port = port;
	}
	return ALLOW;
}

/* A mapped IPv4 destination is the same address here as in the IPv4 hooks. */
inline_always int translate_v6(struct bpf_sock_addr *ctx, bool connected)
{
	struct address to;
	__be16 port = ctx->user_port;
	int found;

	read_v6(&to, ctx);
	found = choose(ctx, &to, &port, connected);
	if (found < 0)
		return refuse();
	if (found) {
		write_v6(ctx, &to);
		ctx->user_port = port;
	}
	return ALLOW;
}

/* The frontend that a backend's address stands for on this socket. */
inline_always struct reverse *frontend_of(struct bpf_sock_addr *ctx, const struct address *peer)
{
	struct reverse_key key = {};

	key.cookie = bpf_get_socket_cookie(ctx);
	key.backend = *peer;
	key.port = ctx->user_port;
	return bpf_map_lookup_elem(&pilus_reverse, &key);
}

inline_always int restore_v4(struct bpf_sock_addr *ctx)
{
	struct address peer;
	struct reverse *r;

	address_from_v4(&peer, ctx->user_ip4);
	r = frontend_of(ctx, &peer);
	if (r) {
		ctx->user_ip4 = WORD(&r->frontend, 3);
		ctx->user_port = r->port;
	}
	return ALLOW;
}

inline_always int restore_v6(struct bpf_sock_addr *ctx)
{
	struct address peer;
	struct reverse *r;

	read_v6(&peer, ctx);
	r = frontend_of(ctx, &peer);
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
	return restore_v4(ctx);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return restore_v6(ctx);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return restore_v4(ctx);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return restore_v6(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";

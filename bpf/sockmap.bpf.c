// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Sockmap: sock_ops tracks connections of the cgroup, sk_msg redirects their messages. */
#define CONTEXT		     struct __sk_buff
#define CONTEXT_IFINDEX(ctx) ((ctx)->ifindex)
#include "lib/common.h"
#include "lib/config.h"
#include "lib/sockmap.h"

#define AF_INET	      2
#define SHUTDOWN_BOTH 3

/* bpf_sock_ops and sk_msg_md have the remote port in the upper half of a word, network order. */
static __always_inline __be16 upper_port(__u32 port)
{
	return bpf_htons(bpf_ntohl(port));
}

static __always_inline void key_of(struct socket_key *key, const struct bpf_sock_ops *ops)
{
	if (ops->family == AF_INET) {
		address_from_v4(&key->local, ops->local_ip4);
		address_from_v4(&key->remote, ops->remote_ip4);
	} else {
		WORD(&key->local, 0) = ops->local_ip6[0];
		WORD(&key->local, 1) = ops->local_ip6[1];
		WORD(&key->local, 2) = ops->local_ip6[2];
		WORD(&key->local, 3) = ops->local_ip6[3];
		WORD(&key->remote, 0) = ops->remote_ip6[0];
		WORD(&key->remote, 1) = ops->remote_ip6[1];
		WORD(&key->remote, 2) = ops->remote_ip6[2];
		WORD(&key->remote, 3) = ops->remote_ip6[3];
	}
	key->local_port = bpf_htons(ops->local_port);
	key->remote_port = upper_port(ops->remote_port);
	key->pad = 0;
}

/* Finds the endpoint of a socket by its network namespace; the local address must be that pod's. */
static __always_inline bool own_ifindex(struct bpf_sock_ops *ops, const struct address *local,
					__u32 *ifindex)
{
	__u64 cookie = bpf_get_netns_cookie(ops);
	struct ipcache_entry *entry;
	struct endpoint *ep;
	__u32 *found;

	*ifindex = 0;
	if (cookie == host_netns_cookie) {
		entry = ipcache_exact(local);
		return entry && entry->flags & IPCACHE_NODE && entry->identity == IDENTITY_HOST;
	}
	found = bpf_map_lookup_elem(&pilus_namespaces, &cookie);
	if (!found)
		return false;
	ep = endpoint_by_ifindex(*found);
	if (!ep || !(address_equal(local, &ep->ipv4) || address_equal(local, &ep->ipv6)))
		return false;
	*ifindex = *found;
	return true;
}

/* A connection is established: track it when its peer is on this node too. */
static __always_inline void track_socket(struct bpf_sock_ops *ops)
{
	struct socket_ref own = {};
	struct ipcache_entry *to;
	struct socket_key key;
	struct tcp_sock *tp;
	struct bpf_sock *sk = ops->sk;
	struct sock_state state = {};

	if (!sk || !sockmap_is_on())
		return;
	key_of(&key, ops);
	to = ipcache_exact(&key.remote);
	if (!to || !(to->flags & IPCACHE_LOCAL || to->identity == IDENTITY_HOST))
		return; /* on another node */
	if (!own_ifindex(ops, &key.local, &state.ifindex[OWN]))
		return;
	if (to->flags & IPCACHE_LOCAL)
		state.ifindex[OTHER] = to->ifindex;
	/* both ends in one pod, or both on the node itself */
	if (state.ifindex[OWN] == state.ifindex[OTHER])
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || tp->is_mptcp)
		return;
	state.peer.local = key.remote;
	state.peer.remote = key.local;
	state.peer.local_port = key.remote_port;
	state.peer.remote_port = key.local_port;
	state.behind = 1;
	if (!bpf_sk_storage_get(&pilus_sock_state, sk, &state, BPF_SK_STORAGE_GET_F_CREATE))
		return;
	own.cookie = bpf_get_socket_cookie(ops);
	own.sock = (__u64)sk;
	/* without room the connection stays on the device */
	if (bpf_map_update_elem(&pilus_socket_refs, &key, &own, BPF_ANY))
		return;
	if (bpf_sock_hash_update(ops, &pilus_sockets, &key, BPF_ANY)) {
		bpf_map_delete_elem(&pilus_socket_refs, &key);
		return;
	}
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void untrack_socket(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct socket_ref *own;
	struct socket_key key;
	struct ct_entry *e;
	struct sock_state *state;
	int direction = 0;

	key_of(&key, ops);
	own = bpf_map_lookup_elem(&pilus_socket_refs, &key);
	if (own && own->cookie == bpf_get_socket_cookie(ops))
		bpf_map_delete_elem(&pilus_socket_refs, &key);
	state = sk ? bpf_sk_storage_get(&pilus_sock_state, sk, NULL, 0) : NULL;
	if (!state || !state->packets)
		return;
	e = sock_state_ct(state, &direction);
	if (e)
		sock_state_account(state, e, direction, bpf_ktime_get_coarse_ns());
}

/* No process has the socket open, though the kernel may retransmit its last bytes for minutes. */
static __always_inline bool is_closed_by_owner(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return tp && tp->inet_conn.icsk_inet.sk.sk_shutdown == SHUTDOWN_BOTH;
}

SEC("sockops")
int sock_ops(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		track_socket(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == BPF_TCP_CLOSE || is_closed_by_owner(ops))
			untrack_socket(ops);
		break;
	}
	return 1;
}

/* Whether the message may be redirected to the peer's socket. */
static __always_inline bool may_redirect(struct sk_msg_md *msg, struct sock_state *state)
{
	struct tcp_sock *tp;
	int waiting;

	if (!sockmap_is_on() || !sock_state_is_allowed(state))
		return false;
	tp = bpf_skc_to_tcp_sock(msg->sk);
	/* kTLS shows its plaintext here */
	if (!tp || tp->inet_conn.icsk_ulp_ops)
		return false;
	waiting = unread(state);
	if (waiting < 0)
		return false;
	if (waiting == 0)
		state->queued = 0;
	if (unlikely(state->behind)) {
		if (waiting || tp->snd_una != tp->write_seq)
			return false;
		state->behind = 0;
	}
	return waiting <= QUEUE_BYTES_MAX && state->queued++ < QUEUE_MESSAGES_MAX;
}

/* Never drops: a message that cannot be redirected is sent through the device. */
SEC("sk_msg")
int sk_msg_redirect(struct sk_msg_md *msg)
{
	struct sock_state *state = bpf_sk_storage_get(&pilus_sock_state, msg->sk, NULL, 0);

	if (!state)
		return SK_PASS;
	if (may_redirect(msg, state) &&
	    bpf_msg_redirect_hash(msg, &pilus_sockets, &state->peer, BPF_F_INGRESS) == SK_PASS) {
		state->packets++;
		state->bytes += msg->size;
		return SK_PASS;
	}
	state->behind = 1;
	return SK_PASS;
}

char _license[] SEC("license") = "GPL";

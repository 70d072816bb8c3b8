// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The local path: sock_ops watch connections at the cgroup, sk_msg moves their messages. */
#define CONTEXT struct __sk_buff
#define CONTEXT_IFINDEX(ctx) ((ctx)->ifindex)
#include "lib/common.h"
#include "lib/config.h"
#include "lib/local_path.h"

#define AF_INET       2
#define SHUTDOWN_BOTH 3

/* bpf_sock_ops and sk_msg_md have the remote port in the upper half of a word, network order. */
inline_always __be16 upper_port(__u32 port)
{
	return bpf_htons(bpf_ntohl(port));
}

inline_always void key_of(struct socket_key *key, const struct bpf_sock_ops *ops)
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

/* Finds the endpoint of a socket: its namespace says whose it is, and its address must be that pod's. */
inline_always bool own_ifindex(struct bpf_sock_ops *ops, const struct address *local, __u32 *ifindex)
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

/* A connection is established: when its other end is on this node too, it may take the path. */
inline_always void enter(struct bpf_sock_ops *ops)
{
	struct local_socket own = {};
	struct ipcache_entry *to;
	struct socket_key key;
	struct tcp_sock *tp;
	struct bpf_sock *sk = ops->sk;
	struct path path = {};

	if (!sk || !local_path_is_on())
		return;
	key_of(&key, ops);
	to = ipcache_exact(&key.remote);
	if (!to || !(to->flags & IPCACHE_LOCAL || to->identity == IDENTITY_HOST))
		return; /* on another node */
	if (!own_ifindex(ops, &key.local, &path.ifindex[OWN]))
		return;
	if (to->flags & IPCACHE_LOCAL)
		path.ifindex[OTHER] = to->ifindex;
	/* a pod and itself, or the node and itself */
	if (path.ifindex[OWN] == path.ifindex[OTHER])
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || tp->is_mptcp)
		return;
	path.peer.local = key.remote;
	path.peer.remote = key.local;
	path.peer.local_port = key.remote_port;
	path.peer.remote_port = key.local_port;
	path.behind = 1;
	if (!bpf_sk_storage_get(&pilus_paths, sk, &path, BPF_SK_STORAGE_GET_F_CREATE))
		return;
	own.cookie = bpf_get_socket_cookie(ops);
	own.sock = (__u64)sk;
	/* who has no room stays on the device */
	if (bpf_map_update_elem(&pilus_local, &key, &own, BPF_ANY))
		return;
	if (bpf_sock_hash_update(ops, &pilus_sockets, &key, BPF_ANY)) {
		bpf_map_delete_elem(&pilus_local, &key);
		return;
	}
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

inline_always void leave(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct local_socket *own;
	struct socket_key key;
	struct ct_entry *e;
	struct path *path;
	int direction = 0;

	key_of(&key, ops);
	own = bpf_map_lookup_elem(&pilus_local, &key);
	if (own && own->cookie == bpf_get_socket_cookie(ops))
		bpf_map_delete_elem(&pilus_local, &key);
	path = sk ? bpf_sk_storage_get(&pilus_paths, sk, NULL, 0) : NULL;
	if (!path || !path->packets)
		return;
	e = path_row(path, &direction);
	if (e)
		path_account(path, e, direction, bpf_ktime_get_coarse_ns());
}

/* Nobody has it open any more, though the kernel may go on for minutes to get its last bytes through. */
inline_always bool is_closed_by_owner(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return tp && tp->inet_conn.icsk_inet.sk.sk_shutdown == SHUTDOWN_BOTH;
}

SEC("sockops")
int watch_connection(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		enter(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == BPF_TCP_CLOSE || is_closed_by_owner(ops))
			leave(ops);
		break;
	}
	return 1;
}

/* Whether the message may go to the other end's socket. */
inline_always bool may_redirect(struct sk_msg_md *msg, struct path *path)
{
	struct tcp_sock *tp;
	int waiting;

	if (!local_path_is_on() || !path_is_allowed(path))
		return false;
	tp = bpf_skc_to_tcp_sock(msg->sk);
	/* kTLS gives its plaintext here */
	if (!tp || tp->inet_conn.icsk_ulp_ops)
		return false;
	waiting = unread(path);
	if (waiting < 0)
		return false;
	if (waiting == 0)
		path->queued = 0;
	if (unlikely(path->behind)) {
		if (waiting || tp->snd_una != tp->write_seq)
			return false;
		path->behind = 0;
	}
	return waiting <= QUEUE_BYTES_MAX && path->queued++ < QUEUE_MESSAGES_MAX;
}

/* Never refuses: what cannot be handed over goes by the device. */
SEC("sk_msg")
int hand_over(struct sk_msg_md *msg)
{
	struct path *path = bpf_sk_storage_get(&pilus_paths, msg->sk, NULL, 0);

	if (!path)
		return SK_PASS;
	if (may_redirect(msg, path) &&
	    bpf_msg_redirect_hash(msg, &pilus_sockets, &path->peer, BPF_F_INGRESS) == SK_PASS) {
		path->packets++;
		path->bytes += msg->size;
		return SK_PASS;
	}
	path->behind = 1;
	return SK_PASS;
}

char _license[] SEC("license") = "GPL";

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * TCP connections with both ends on this node: a message goes from socket to socket, past both
 * devices. Which way it goes is decided for each message by its sender:
 *
 * - Policy first. A connection is on the path while its row in pilus_ct was judged under the
 *   revisions that both endpoints have now. Any change makes its next message go by the devices,
 *   where the packet is judged; when that renews the row, the path is open again.
 * - Nothing overtakes. The receiver reads messages before segments. So a sender that has sent
 *   segments sends no message until all of them are acknowledged and read.
 * - The receiver's queue is bounded. The kernel lets messages exceed SO_RCVBUF without limit; a
 *   sender that finds too much unread takes the device, where the window makes it wait.
 */
#pragma once
#include "conntrack.h"
#include "endpoint.h"
#include "events.h"
#include "ipcache.h"

/* A socket by its connection; the same on every CPU and unique on the node. */
struct socket_key {
	struct address local;
	struct address remote;
	__be16 local_port;
	__be16 remote_port;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 131072);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct socket_key);
	__type(value, __u64);
} pilus_sockets SEC(".maps");

/* Where a socket of pilus_sockets is in memory. Only read from, and only with its cookie compared. */
struct local_socket {
	__u64 sock;   /* address of struct sock */
	__u64 cookie; /* SO_COOKIE */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct socket_key);
	__type(value, struct local_socket);
} pilus_local SEC(".maps");

/* What a sender knows of its connection. Its own socket's lock protects it. */
struct path {
	struct socket_key peer; /* the other end, as it names itself */
	struct local_socket socket; /* the other end's; zero: not found yet */
	__u64 accounted; /* when the row in pilus_ct was last renewed, CLOCK_MONOTONIC, ns */
	__u64 packets; /* since then, not in the row yet */
	__u64 bytes;
	__u32 ifindex[2];  /* own and the other end's; 0: the node itself */
	__u32 revision[2]; /* under which the row was judged when it was last read */
	__u32 queued; /* messages since the other end's queue was last seen empty */
	__u8 behind;  /* 1: segments may not be read yet */
	__u8 pad[3];
};

#define OWN   0
#define OTHER 1

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, int);
	__type(value, struct path);
} pilus_paths SEC(".maps");

/* Pods by the cookie of their network namespace: an address proves nothing, anybody can make one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINT_SLOTS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u64);
	__type(value, __u32); /* ifindex of the endpoint */
} pilus_namespaces SEC(".maps");

/* Bytes and messages that may wait in a receiver's queue. A message of one byte takes about 1 KiB. */
#define QUEUE_BYTES_MAX    (1 << 20)
#define QUEUE_MESSAGES_MAX 1024

/* Fields of the kernel's structures; libbpf finds them by the kernel's BTF. */
struct sock_common {
	struct {
		__s64 counter;
	} skc_cookie;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
	struct {
		struct {
			int counter;
		} rmem_alloc;
	} sk_backlog;
	__u8 sk_shutdown;
} __attribute__((preserve_access_index));

struct inet_sock {
	struct sock sk;
} __attribute__((preserve_access_index));

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const void *icsk_ulp_ops;
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 snd_una;
	__u32 write_seq;
	bool is_mptcp;
} __attribute__((preserve_access_index));

inline_always bool local_path_is_on(void)
{
	__u32 zero = 0;
	struct runtime *r = bpf_map_lookup_elem(&pilus_runtime, &zero);

	return r && r->local_path;
}

/* The connection's row in pilus_ct; `direction` is that of what this end sends. */
inline_always struct ct_entry *path_row(const struct path *path, int *direction)
{
	struct tuple t = {};
	struct ct_entry *e;
	struct ct_key key;
	bool high;

	t.source = path->peer.remote;
	t.destination = path->peer.local;
	t.source_port = path->peer.remote_port;
	t.destination_port = path->peer.local_port;
	t.protocol = IPPROTO_TCP;
	high = ct_make_key(&t, &key);
	e = bpf_map_lookup_elem(&pilus_ct, &key);
	if (e)
		*direction = ct_direction(e, high);
	return e;
}

inline_always void count_messages(__u32 direction, const struct path *path)
{
	__u32 index = REASON_FORWARDED * METRIC_DIRECTIONS + direction;
	struct metric *m = bpf_map_lookup_elem(&pilus_metrics, &index);

	if (m) {
		m->packets += path->packets;
		m->bytes += path->bytes;
	}
}

/* Brings what was sent into the row, whose life it renews, and into the metrics. */
inline_always void path_account(struct path *path, struct ct_entry *e, int direction, __u64 now)
{
	__u64 expires = now + ct_lifetime(IPPROTO_TCP, e->flags);

	e->packets[direction & 1] += path->packets;
	e->bytes[direction & 1] += path->bytes;
	if (expires - e->expires > NS_PER_SECOND && expires > e->expires)
		e->expires = expires;
	if (path->ifindex[OWN])
		count_messages(METRIC_EGRESS, path);
	if (path->ifindex[OTHER])
		count_messages(METRIC_INGRESS, path);
	path->packets = 0;
	path->bytes = 0;
	path->accounted = now;
}

/* The revision of an end now; false when it is no endpoint any more. */
inline_always bool revision_now(__u32 ifindex, __u32 *revision)
{
	struct endpoint *ep;

	*revision = 0;
	if (!ifindex)
		return true;
	ep = endpoint_by_ifindex(ifindex);
	if (!ep)
		return false;
	*revision = ep->revision;
	return true;
}

/* Whether policy allows the connection as things are; once a second with a look at its row. */
inline_always bool path_is_allowed(struct path *path)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 own, other;
	struct ct_entry *e;
	int direction = 0;

	if (!revision_now(path->ifindex[OWN], &own) || !revision_now(path->ifindex[OTHER], &other))
		return false;
	if (likely(path->revision[OWN] == own && path->revision[OTHER] == other &&
		   now - path->accounted < NS_PER_SECOND))
		return true;
	e = path_row(path, &direction);
	if (!e || e->expires < now || e->flags & CT_CLOSING || !(e->flags & CT_REPLIED))
		return false;
	if ((direction ? e->responder_revision : e->initiator_revision) != own ||
	    (direction ? e->initiator_revision : e->responder_revision) != other)
		return false;
	path_account(path, e, direction, now);
	path->revision[OWN] = own;
	path->revision[OTHER] = other;
	return true;
}

/* Bytes that wait at the other end, segments and messages alike; negative: it is not there. */
inline_always int unread(struct path *path)
{
	struct sock *sock;
	__s64 cookie = 0;
	int bytes = 0;

	if (unlikely(!path->socket.sock)) {
		struct local_socket *found = bpf_map_lookup_elem(&pilus_local, &path->peer);

		if (!found)
			return -1;
		path->socket = *found;
	}
	sock = (struct sock *)path->socket.sock;
	if (bpf_core_read(&cookie, sizeof(cookie), &sock->__sk_common.skc_cookie.counter) ||
	    cookie != (__s64)path->socket.cookie ||
	    bpf_core_read(&bytes, sizeof(bytes), &sock->sk_backlog.rmem_alloc.counter)) {
		path->socket.sock = 0;
		return -1;
	}
	return bytes > 0 ? bytes : 0;
}

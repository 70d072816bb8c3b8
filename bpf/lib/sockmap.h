// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * TCP connections with both ends on this node: messages are redirected from socket to socket and
 * bypass both devices. The sender decides for each message:
 *
 * - Policy. A message is redirected while the connection's entry in pilus_ct was admitted under the
 *   current revisions of both endpoints. After a change the next message is sent through the
 *   devices, where policy is evaluated; when that renews the entry, redirection resumes.
 * - Ordering. The receiver reads redirected messages before segments. A sender that has sent
 *   segments therefore redirects no message until all of them are acknowledged and read.
 * - Bounded queue. The kernel lets redirected messages exceed SO_RCVBUF without limit; a sender
 *   that finds too many unread bytes uses the device, where the TCP window throttles it.
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

/* The kernel address of a socket of pilus_sockets. Only read, and only after comparing its cookie.
 */
struct socket_ref {
	__u64 sock;   /* address of struct sock */
	__u64 cookie; /* SO_COOKIE */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct socket_key);
	__type(value, struct socket_ref);
} pilus_socket_refs SEC(".maps");

/* The sender's state of a connection, protected by the lock of its socket. */
struct sock_state {
	struct socket_key peer;	  /* key of the peer's socket */
	struct socket_ref socket; /* the peer's socket; zero: not found yet */
	__u64 accounted; /* when the row in pilus_ct was last renewed, CLOCK_MONOTONIC, ns */
	__u64 packets;	 /* since then, not in the row yet */
	__u64 bytes;
	__u32 ifindex[2];  /* own and the other end's; 0: the node itself */
	__u32 revision[2]; /* under which the row was judged when it was last read */
	__u32 queued;	   /* messages since the other end's queue was last seen empty */
	__u8 behind;	   /* 1: segments may not be read yet */
	__u8 pad[3];
};

#define OWN   0
#define OTHER 1

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, int);
	__type(value, struct sock_state);
} pilus_sock_state SEC(".maps");

/* Pods by the cookie of their network namespace; an address alone can be spoofed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINT_SLOTS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u64);
	__type(value, __u32); /* ifindex of the endpoint */
} pilus_namespaces SEC(".maps");

/* Bytes and messages that may wait in a receiver's queue. A message of one byte takes about 1 KiB.
 */
#define QUEUE_BYTES_MAX	   (1 << 20)
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

static __always_inline bool sockmap_is_on(void)
{
	__u32 zero = 0;
	struct runtime *r = bpf_map_lookup_elem(&pilus_runtime, &zero);

	return r && r->sockmap;
}

/* The connection's entry in pilus_ct; `direction` is that of packets from this end. */
static __always_inline struct ct_entry *sock_state_ct(const struct sock_state *state,
						      int *direction)
{
	struct tuple t = {};
	struct ct_entry *e;
	struct ct_key key;
	bool high;

	t.source = state->peer.remote;
	t.destination = state->peer.local;
	t.source_port = state->peer.remote_port;
	t.destination_port = state->peer.local_port;
	t.protocol = IPPROTO_TCP;
	high = ct_make_key(&t, &key);
	e = bpf_map_lookup_elem(&pilus_ct, &key);
	if (e)
		*direction = ct_direction(e, high);
	return e;
}

static __always_inline void count_messages(__u32 direction, const struct sock_state *state)
{
	struct metrics *m = metrics_of(REASON_FORWARDED);

	if (m)
		add_packets(m, direction, state->packets, state->bytes);
}

/* Adds what was redirected to the conntrack entry, whose lifetime it renews, and to the metrics. */
static __always_inline void sock_state_account(struct sock_state *state, struct ct_entry *e,
					       int direction, __u64 now)
{
	__u64 expires = now + ct_lifetime(IPPROTO_TCP, e->flags);

	e->packets[direction & 1] += state->packets;
	e->bytes[direction & 1] += state->bytes;
	if (expires - e->expires > NS_PER_SECOND && expires > e->expires)
		e->expires = expires;
	if (state->ifindex[OWN])
		count_messages(METRIC_EGRESS, state);
	if (state->ifindex[OTHER])
		count_messages(METRIC_INGRESS, state);
	state->packets = 0;
	state->bytes = 0;
	state->accounted = now;
}

/* The current revision of an endpoint; false when it is gone. */
static __always_inline bool revision_now(__u32 ifindex, __u32 *revision)
{
	struct endpoint *ep;

	*revision = 0;
	if (!ifindex)
		return true;
	ep = endpoint_by_ifindex(ifindex);
	/* what arrives at a pod with a limit is counted on its way */
	if (!ep || ep->flags & ENDPOINT_INGRESS_LIMITED)
		return false;
	*revision = ep->revision;
	return true;
}

/* Whether the current policies allow the connection; reads its conntrack entry once a second. */
static __always_inline bool sock_state_is_allowed(struct sock_state *state)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 own, other;
	struct ct_entry *e;
	int direction = 0;

	if (!revision_now(state->ifindex[OWN], &own) ||
	    !revision_now(state->ifindex[OTHER], &other))
		return false;
	if (likely(state->revision[OWN] == own && state->revision[OTHER] == other &&
		   now - state->accounted < NS_PER_SECOND))
		return true;
	e = sock_state_ct(state, &direction);
	if (!e || e->expires < now || e->flags & CT_CLOSING || !(e->flags & CT_REPLIED))
		return false;
	if ((direction ? e->responder_revision : e->initiator_revision) != own ||
	    (direction ? e->initiator_revision : e->responder_revision) != other)
		return false;
	sock_state_account(state, e, direction, now);
	state->revision[OWN] = own;
	state->revision[OTHER] = other;
	return true;
}

/* Unread bytes at the peer, segments and messages alike; negative: the peer is gone. */
static __always_inline int unread(struct sock_state *state)
{
	struct sock *sock;
	__s64 cookie = 0;
	int bytes = 0;

	if (unlikely(!state->socket.sock)) {
		struct socket_ref *found = bpf_map_lookup_elem(&pilus_socket_refs, &state->peer);

		if (!found)
			return -1;
		state->socket = *found;
	}
	sock = (struct sock *)state->socket.sock;
	if (bpf_core_read(&cookie, sizeof(cookie), &sock->__sk_common.skc_cookie.counter) ||
	    cookie != (__s64)state->socket.cookie ||
	    bpf_core_read(&bytes, sizeof(bytes), &sock->sk_backlog.rmem_alloc.counter)) {
		state->socket.sock = 0;
		return -1;
	}
	return bytes > 0 ? bytes : 0;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The shares of what mappings take: rows of the table, and ports towards one destination. Clients
 * of services are the only ones who have ports towards a backend, so that these have no shares.
 */
#pragma once
#include "config.h"
#include "parse.h"
#include "share.h"

static __always_inline bool is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* How many ports masquerading chooses from. */
static __always_inline __u32 nat_ports(void)
{
	return nat_port_max - nat_port_min + 1;
}

/* Those of them that are taken, by all and by an owner; NULL: the mapping takes none. */
struct port_shares {
	struct share *all;
	struct share *own;
};

/* Of a mapping towards `to` and `port` with the node's port `own`, both in network order. */
static __always_inline struct port_shares port_shares(const struct address *to, __be16 port,
						      __u8 protocol, __be16 own, __u32 owner)
{
	struct port_shares s = {};
	__u16 number = bpf_ntohs(own);

	if (owner == SHARE_OF_NODE || number < nat_port_min || number > nat_port_max)
		return s;
	if (is_icmp(protocol))
		port = 0; /* there it is the node's own */
	s.all = share_at(share_of_ports(to, port, protocol, SHARE_OF_NODE));
	s.own = share_at(share_of_ports(to, port, protocol, owner));
	return s;
}

/* Takes a mapping from its owner's shares. Returns 1, or 0 when one is spent. */
__noinline int nat_share_take(const struct address *to, __be16 port, __u8 protocol, __be16 own,
			      __u32 owner)
{
	struct share *mappings = share_at(share_index(SHARE_MAPPINGS, owner));
	struct shared *table = shared_table(SHARED_MAPPINGS);
	struct port_shares ports;
	__s32 room;

	if (!to || !mappings || !table)
		return 1;
	ports = port_shares(to, port, protocol, own, owner);
	if (ports.all && ports.own) {
		room = share_room(nat_ports(), ports.all->rows);
		/* without any room it is a matter of what gives way */
		if (share_is_spent(ports.own, table, room) && room) {
			__sync_fetch_and_add(&mappings->refused, 1);
			return 0;
		}
	}
	if (!share_take(share_index(SHARE_MAPPINGS, owner), SHARED_MAPPINGS))
		return 0;
	if (ports.all && ports.own) {
		__sync_fetch_and_add(&ports.all->rows, 1);
		__sync_fetch_and_add(&ports.own->rows, 1);
	}
	return 1;
}

/* Gives it back. */
__noinline int nat_share_give(const struct address *to, __be16 port, __u8 protocol, __be16 own,
			      __u32 owner)
{
	struct port_shares ports;

	if (!to)
		return 0;
	share_give(share_index(SHARE_MAPPINGS, owner), SHARED_MAPPINGS);
	ports = port_shares(to, port, protocol, own, owner);
	if (ports.all && ports.own) {
		__sync_fetch_and_sub(&ports.all->rows, 1);
		__sync_fetch_and_sub(&ports.own->rows, 1);
	}
	return 0;
}

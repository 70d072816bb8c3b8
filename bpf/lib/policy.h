// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * A policy number identifies an immutable set of entries, which endpoints share. A change writes a
 * new number and then updates the endpoints' rows, so a packet never sees half a policy.
 */
#pragma once
#include "common.h"
#include "reasons.h"

enum policy_direction {
	POLICY_INGRESS = 0,
	POLICY_EGRESS = 1,
};

/* One direction of a policy. */
struct policy_side {
	__u32 prefixes; /* bit n: some entry has a port prefix of n bits (0 to 16); bit 31: some
			   entry is for any protocol */
	__u32 default_cookie; /* of the default denial */
	__u32 enforced;	      /* 0: what no entry matches is allowed */
};

struct policy {
	struct policy_side side[2]; /* by enum policy_direction */
	__u64 content; /* hash of the entries: lets a restarted agent find the number again */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct policy);
} pilus_policies SEC(".maps");

#define PREFIX_ANY_PROTOCOL 31

struct rule_key {
	__u32 policy;
	__u32 identity; /* 0: any */
	__be16 port;	/* the first prefix_length bits count, the others are 0; ICMP: the type */
	__u8 protocol;	/* 0: any, then port and prefix_length are 0 */
	__u8 prefix_length; /* 0 to 16 */
	__u8 direction;	    /* enum policy_direction */
	__u8 pad[3];
};

enum rule_verdict {
	RULE_ALLOW = 1,
	RULE_DENY = 2,
};

struct rule {
	__u32 precedence; /* the higher wins */
	__u32 cookie;	  /* leads back to the rule's text */
	__u16 proxy_port; /* 0: none */
	__u8 verdict;	  /* enum rule_verdict */
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1048576);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct rule_key);
	__type(value, struct rule);
} pilus_rules SEC(".maps");

struct policy_query {
	__u32 policy;
	__u32 identity; /* of the other side */
	__be16 port;	/* of the responder; ICMP: the type */
	__u8 protocol;
	__u8 direction; /* enum policy_direction */
};

enum verdict_flags {
	VERDICT_DENIED = 1,
	VERDICT_BY_DEFAULT = 2, /* no entry matches */
};

/* The decision of a policy about a connection. */
struct verdict {
	__u32 cookie;	  /* of the deciding entry, or of the default denial */
	__u16 proxy_port; /* 0: none */
	__u16 flags;	  /* enum verdict_flags */
};

/* The rule with the higher precedence; at equal precedence the one looked up first. */
static __always_inline struct rule *better(struct rule *best, struct rule *candidate)
{
	if (!candidate)
		return best;
	return !best || candidate->precedence > best->precedence ? candidate : best;
}

/*
 * Evaluates the policy for the initiating direction of a connection. Returns 0 with `v` filled, or
 * a negative drop reason when there is no such policy. Looks up from the longest port prefix to the
 * shortest and the identity before "any", so that at equal precedence the longer prefix wins, then
 * the specific identity.
 */
__noinline int policy_evaluate(const struct policy_query *q, struct verdict *v)
{
	struct policy *policy;
	struct policy_side *side;
	struct rule_key key = {};
	struct rule *best = NULL;
	__u32 id;

	if (!q || !v)
		return DROP(ENDPOINT_NOT_READY);
	id = q->policy;
	policy = bpf_map_lookup_elem(&pilus_policies, &id);
	if (!policy)
		return DROP(ENDPOINT_NOT_READY);
	side = &policy->side[q->direction & 1];
	key.policy = id;
	key.direction = q->direction;
	key.protocol = q->protocol;
	for (int length = 16; length >= 0; length--) {
		if (!(side->prefixes & (1U << length)))
			continue;
		key.prefix_length = length;
		key.port = q->port & bpf_htons(0xffff << (16 - length));
		key.identity = q->identity;
		best = better(best, bpf_map_lookup_elem(&pilus_rules, &key));
		key.identity = 0;
		best = better(best, bpf_map_lookup_elem(&pilus_rules, &key));
	}
	if (side->prefixes & (1U << PREFIX_ANY_PROTOCOL)) {
		key.protocol = 0;
		key.prefix_length = 0;
		key.port = 0;
		key.identity = q->identity;
		best = better(best, bpf_map_lookup_elem(&pilus_rules, &key));
		key.identity = 0;
		best = better(best, bpf_map_lookup_elem(&pilus_rules, &key));
	}
	if (!best) {
		v->cookie = side->default_cookie;
		v->proxy_port = 0;
		v->flags = VERDICT_BY_DEFAULT | (side->enforced ? VERDICT_DENIED : 0);
		return 0;
	}
	v->cookie = best->cookie;
	v->proxy_port = best->proxy_port;
	v->flags = best->verdict == RULE_ALLOW ? 0 : VERDICT_DENIED;
	return 0;
}

/* Returns 0 when the verdict allows, else a negative drop reason. */
static __always_inline int verdict_reason(const struct verdict *v)
{
	if (!(v->flags & VERDICT_DENIED))
		return 0;
	return v->flags & VERDICT_BY_DEFAULT ? DROP(POLICY_DENIED_BY_DEFAULT) : DROP(POLICY_DENIED);
}

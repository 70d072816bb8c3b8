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
	VERDICT_ALLOW = 1,
	VERDICT_DENY = 2,
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

struct policy_result {
	__u32 cookie;
	__u32 specific; /* 1: the entry names the identity */
};

/* The rule with the higher precedence; at equal precedence the one looked up first. */
static __always_inline struct rule *better(struct rule *best, struct rule *candidate)
{
	if (!candidate)
		return best;
	return !best || candidate->precedence > best->precedence ? candidate : best;
}

/*
 * Evaluates the policy for the initiating direction of a connection. Returns 0 or a negative drop
 * reason. Looks up from the longest port prefix to the shortest and the identity before "any", so
 * that at equal precedence the longer prefix wins, then the specific identity.
 */
__noinline int policy_evaluate(const struct policy_query *q, struct policy_result *r)
{
	struct policy *policy;
	struct policy_side *side;
	struct rule_key key = {};
	struct rule *best = NULL, *rule;
	__u32 id;

	if (!q || !r)
		return DROP(ENDPOINT_NOT_READY);
	id = q->policy;
	policy = bpf_map_lookup_elem(&pilus_policies, &id);
	if (!policy)
		return DROP(ENDPOINT_NOT_READY);
	side = &policy->side[q->direction & 1];
	r->specific = 0;
	r->cookie = side->default_cookie;
	key.policy = id;
	key.direction = q->direction;
	key.protocol = q->protocol;
	for (int length = 16; length >= 0; length--) {
		if (!(side->prefixes & (1U << length)))
			continue;
		key.prefix_length = length;
		key.port = q->port & bpf_htons(0xffff << (16 - length));
		key.identity = q->identity;
		rule = better(best, bpf_map_lookup_elem(&pilus_rules, &key));
		if (rule != best)
			r->specific = 1;
		best = rule;
		key.identity = 0;
		rule = better(best, bpf_map_lookup_elem(&pilus_rules, &key));
		if (rule != best)
			r->specific = 0;
		best = rule;
	}
	if (side->prefixes & (1U << PREFIX_ANY_PROTOCOL)) {
		key.protocol = 0;
		key.prefix_length = 0;
		key.port = 0;
		key.identity = q->identity;
		rule = better(best, bpf_map_lookup_elem(&pilus_rules, &key));
		if (rule != best)
			r->specific = 1;
		best = rule;
		key.identity = 0;
		rule = better(best, bpf_map_lookup_elem(&pilus_rules, &key));
		if (rule != best)
			r->specific = 0;
		best = rule;
	}
	if (!best)
		return side->enforced ? DROP(POLICY_DENIED_BY_DEFAULT) : 0;
	r->cookie = best->cookie;
	return best->verdict == VERDICT_ALLOW ? 0 : DROP(POLICY_DENIED);
}

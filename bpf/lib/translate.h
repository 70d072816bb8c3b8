// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Services per packet, for senders whose sockets are not translated (skb only). */
#pragma once
#include "conntrack.h"
#include "rewrite.h"
#include "service.h"

/*
 * Chooses the backend of a packet to a service: with PACKET_TRANSLATED, `inner.source` is where it
 * shall go and `inner.destination` where it was sent. The choice of the first packet is kept in
 * conntrack under the untranslated tuple, so that a changed backend set does not move a connection.
 * Returns 0 or a negative drop reason.
 */
__noinline int choose_backend(struct __sk_buff *skb, struct packet *p)
{
	struct ct_entry *known, choice = {};
	struct ct_key key;
	struct service *s;
	struct backend *b;
	__u64 now;

	if (!p || (p->flags & PACKET_ICMP_ERROR))
		return 0;
	s = service_lookup(&p->tuple.destination, p->tuple.destination_port, p->tuple.protocol);
	if (!s)
		return 0;
	p->flags |= PACKET_TRANSLATED;
	p->inner.destination = p->tuple.destination;
	p->inner.destination_port = p->tuple.destination_port;

	now = bpf_ktime_get_coarse_ns();
	ct_make_key(&p->tuple, &key);
	known = bpf_map_lookup_elem(&pilus_ct, &key);
	/* of the two directions only one is seen here: its FIN or RST is the end */
	if (known && (known->flags & CT_CHOICE) && !ct_is_stale(known, p, now) &&
	    !(ct_is_syn(p) && ((known->tcp_flags[0] | known->tcp_flags[1]) & (TCP_FIN | TCP_RST)))) {
		/* marks the flow as long-lived from its second packet on */
		ct_account(known, p, 1, skb->len, now);
		p->inner.source = known->frontend;
		p->inner.source_port = known->frontend_port;
		return 0;
	}
	b = backend_for(&s->side[SCOPE_INSIDE], bpf_get_prandom_u32());
	if (!b)
		return DROP(SERVICE_BACKEND_NOT_FOUND);
	choice.flags = CT_CHOICE;
	choice.frontend = b->address;
	choice.frontend_port = b->port;
	ct_account(&choice, p, 0, skb->len, now);
	if (bpf_map_update_elem(&pilus_ct, &key, &choice, BPF_ANY))
		return DROP(CT_CREATE_FAILED);
	p->inner.source = choice.frontend;
	p->inner.source_port = choice.frontend_port;
	return 0;
}

/* DNAT of a packet to a service. Returns 0 or a negative drop reason. */
inline_always int translate_service(struct __sk_buff *skb, struct packet *p)
{
	int err = choose_backend(skb, p);

	if (err || !(p->flags & PACKET_TRANSLATED))
		return err;
	return rewrite(skb, p, REWRITE_DESTINATION, &p->inner.source, p->inner.source_port);
}

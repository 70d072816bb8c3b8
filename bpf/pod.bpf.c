// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The host's side of a pod's veth pair. One loaded program serves all pods. */
#include "lib/common.h"
#include "lib/config.h"
#include "lib/events.h"
#include "lib/admission.h"
#include "lib/classify.h"
#include "lib/fragment.h"
#include "lib/parse_skb.h"
#include "lib/pod_admit.h"
#include "lib/pod_forward.h"
#include "lib/translate_service.h"

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = {.point = POINT_FROM_ENDPOINT};
	struct pod_egress e = {};
	int err;

	err = classify(skb, &p, &c, &e);
	if (!err)
		err = translate_service(skb, &p, &c, &e);
	if (!err)
		err = admit_egress(skb, &p, &c, &e);
	if (!err)
		err = forward_egress(skb, &p, &e);
	if (likely(err >= 0))
		return e.verdict;
	drop(skb, &p, &c, err, METRIC_EGRESS);
	if (err == DROP(NO_KNOWN_POD))
		return reject_host(skb, &p);
	return err == DROP(UNROUTABLE) ? reject(skb, &p) : TC_ACT_SHOT;
}

/* From the host's stack: local processes and forwarded packets. */
SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = {.point = POINT_TO_ENDPOINT};
	struct ends ends = {};
	struct admission a = {};
	struct ipcache_entry *from;
	int err;

	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return TC_ACT_OK;
	ends.destination = endpoint_by_ifindex(skb->ifindex);
	if (!ends.destination)
		return drop(skb, &p, &c, DROP(NO_ENDPOINT), METRIC_INGRESS);
	c.endpoint = ends.destination->id;
	c.destination_identity = ends.destination_identity = ends.destination->identity;
	err = parse_frame(skb, &p);
	if (err > 0)
		err = DROP(UNSUPPORTED_L3);
	if (err)
		goto dropped;
	if (is_neighbour_discovery(&p)) {
		/* the node's own, and not one that it forwards */
		if (!skb->ingress_ifindex && p.ttl == ND_HOP_LIMIT)
			return TC_ACT_OK;
		err = DROP(NEIGHBOUR_DISCOVERY_FROM_AFAR);
		goto dropped;
	}
	if (address_is_multicast(&p.tuple.destination) || address_is_link_local(&p.tuple.source) ||
	    address_is_link_local(&p.tuple.destination)) {
		count(REASON_IGNORED_MULTICAST, METRIC_INGRESS, skb->len);
		return TC_ACT_SHOT;
	}
	from = ipcache_lookup(&p.tuple.source);
	err = identify_forwarded(skb, &p.tuple.source, from, &ends.source_identity);
	c.source_identity = ends.source_identity;
	if (err)
		goto dropped;
	err = fragment_track(&p, 0);
	if (err)
		goto dropped;
	if (from && (from->flags & IPCACHE_LOCAL))
		ends.source = endpoint_by_ifindex(from->ifindex);
	err = admit_and_restore(skb, &p, &c, &ends, &a);
	if (err)
		goto dropped;
	count(REASON_FORWARDED, METRIC_INGRESS, skb->len);
	return TC_ACT_OK;
dropped:
	return drop(skb, &p, &c, err, METRIC_INGRESS);
}

char _license[] SEC("license") = "GPL";

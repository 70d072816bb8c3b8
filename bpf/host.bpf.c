// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The node's own devices: packets for pods bypass the host's stack, and pods are masqueraded. */
#include "lib/common.h"
#include "lib/config.h"
#include "lib/events.h"
#include "lib/overlay_ingress.h"
#include "lib/admission.h"
#include "lib/forward.h"
#include "lib/fragment.h"
#include "lib/fragment_order.h"
#include "lib/local_address.h"
#include "lib/parse_skb.h"
#include "lib/pod_ingress.h"
#include "lib/prefilter.h"
#include "lib/nodeport.h"
#include "lib/source_check.h"

#define VLAN_ID_MASK 0x0fff /* of 0: the tag has a priority only (IEEE 802.1Q) */

/* Reports an ingress drop; a separate function for its own stack frame. Returns the verdict. */
__noinline int drop_on_arrival(struct __sk_buff *skb, const struct packet *p, int reason)
{
	struct event_context c = {.point = POINT_FROM_NETWORK};

	if (!p)
		return TC_ACT_SHOT;
	return drop(skb, p, &c, reason, METRIC_INGRESS);
}

/* Linux before 6.4 takes keys of maps from the stack, not from arguments. */
static __always_inline struct ipcache_entry *ipcache_of_source(const struct packet *p)
{
	struct address source = p->tuple.source;

	return ipcache_lookup(&source);
}

/* Whether the sender of a packet to a pod or a service, or of a part of one, may have its address.
 * Returns 0 or a negative drop reason. */
__noinline int check_client(struct __sk_buff *skb, const struct packet *p)
{
	return p ? check_source(skb, p, ipcache_of_source(p)) : DROP(INVALID_SOURCE_IP);
}

/*
 * Leaves the packet to the stack, which would answer whatever source it has, and decapsulate what
 * is to the tunnel's port: not what comes from elsewhere. `err` is the parser's. Returns the
 * verdict.
 */
__noinline int leave_to_stack(struct __sk_buff *skb, const struct packet *p, int err)
{
	struct ipcache_entry *from;
	struct address source;

	if (!p)
		return TC_ACT_UNSPEC;
	/* twice, the second copy would wait there for a datagram that is complete */
	if (unlikely((skb->mark & MARK_MASK) == MARK_STACK_HAS && p->flags & PACKET_FRAGMENT_LATER))
		return TC_ACT_SHOT;
	/* the stack looks behind a tag that has a priority only, and what is there was not parsed
	 */
	if (skb->vlan_present &&
	    (skb->protocol == bpf_htons(ETH_P_8021Q) || skb->protocol == bpf_htons(ETH_P_8021AD)))
		return drop_on_arrival(skb, p, DROP(VLAN_FILTERED));
	source = p->tuple.source;
	from = ipcache_exact(&source);
	if (!from)
		return TC_ACT_UNSPEC;
	/* other nodes reach this one by whatever way they have */
	if (!is_other_node(from) && !source_is_believed(skb, p, from))
		return drop_on_arrival(skb, p, DROP(INVALID_SOURCE_IP));
	if (tunnel_ifindex && may_be_tunnel_frame(p, err) && !is_from_its_node(skb, p))
		return drop_on_arrival(skb, p, DROP(TUNNEL_FROM_UNKNOWN_NODE));
	return TC_ACT_UNSPEC;
}

/* A packet for the pod of `ifindex`, its service translated. Returns the verdict. */
__noinline int ingress_to_pod(struct __sk_buff *skb, struct packet *p, __u32 ifindex)
{
	struct event_context c = {.point = POINT_FROM_NETWORK};
	struct ends ends = {};
	struct admission a = {};
	struct ipcache_entry *from;
	int err;

	if (!p)
		return TC_ACT_SHOT;
	err = find_destination(p, &c, &ends, ifindex);
	if (err)
		goto dropped;
	from = ipcache_of_source(p);
	ends.source_identity = identify(&p->tuple.source, from);
	c.source_identity = ends.source_identity;
	c.destination_identity = ends.destination_identity;
	err = check_source(skb, p, from);
	if (err)
		goto dropped;
	err = admit_and_restore(skb, p, &c, &ends, &a);
	if (err)
		goto dropped;
	if (p->ttl <= 1)
		return TC_ACT_UNSPEC;
	err = decrement_ttl(skb, p);
	if (err)
		goto dropped;
	count(REASON_FORWARDED, METRIC_INGRESS, skb->len);
	return forward_to_endpoint(skb, ends.destination);
dropped:
	return drop(skb, p, &c, err, METRIC_INGRESS);
}

/* A packet to a pod of this node. Returns the verdict or a negative drop reason. */
static __always_inline int receive_for_pod(struct __sk_buff *skb, struct packet *p, __u32 ifindex)
{
	int err = 0;

	if (unlikely(p->flags & PACKET_FRAGMENT)) {
		err = check_client(skb, p);
		if (err)
			return err;
		if (order_fragment(skb, p, 0, METRIC_INGRESS) != FRAGMENT_GOES_ON)
			return TC_ACT_SHOT;
	}
	if (unlikely(p->tuple.protocol == IPPROTO_IPIP || p->tuple.protocol == IPPROTO_IPV6))
		err = dsr_decap_ip(skb, p);
	else if (unlikely(has_options(p)))
		err = dsr_read_option(skb, p);
	/* what was in a tunnel is known by the addresses that it had there */
	if (!err)
		err = fragment_track(p, 0);
	return err < 0 ? err : ingress_to_pod(skb, p, ifindex);
}

/* A packet of the overlay. Returns the verdict or a negative drop reason. */
static __always_inline int receive_from_tunnel(struct __sk_buff *skb, struct packet *p)
{
	__u64 found;

	/* what is from no node the tunnel device's program drops */
	if (!is_from_its_node(skb, p))
		return DROP(TUNNEL_FROM_UNKNOWN_NODE);
	if (p->flags & PACKET_FRAGMENT) {
		fragment_track(p, 0);
		return TC_ACT_UNSPEC;
	}
	found = p->family == 4 ? decapsulate(skb, p) : 0;
	if (found)
		return overlay_ingress(skb, p, found >> 32, found);
	overlay_inflight_add(skb);
	return TC_ACT_UNSPEC;
}

/* A packet to a service, `err` from choose_backend(). Returns the verdict or a negative drop
 * reason. */
static __always_inline int receive_for_service(struct __sk_buff *skb, struct packet *p)
{
	struct scratch *t = this_scratch();
	struct ipcache_entry *to;
	int err;

	if (!t)
		return DROP(SERVICE_BACKEND_NOT_FOUND);
	err = check_client(skb, p);
	if (err)
		return err;
	to = ipcache_exact(&t->target.address);
	if (to && to->flags & IPCACHE_LOCAL) {
		err = translate_destination(skb, p, &t->target);
		return err ? err : ingress_to_pod(skb, p, to->ifindex);
	}
	if (to && to->identity == IDENTITY_HOST)
		return nodeport_to_host(skb, p);
	return nodeport_to_remote(skb, p);
}

/*
 * Nobody answers at the service. Whoever connects is refused at once, unless the service has
 * backends for clients of the cluster: then other nodes have some for this one, which may have come
 * here a moment too early or late (as kube-proxy).
 */
static __always_inline int refuse_client(struct __sk_buff *skb, const struct packet *p)
{
	struct address to = p->tuple.destination;
	struct service *s;

	s = service_lookup(&to, p->tuple.destination_port, p->tuple.protocol);
	return s && s->side[SCOPE_INTERNAL].count ? TC_ACT_SHOT : reject(skb, p);
}

/* A packet to the node itself, or a reply to a masqueraded connection. */
static __always_inline int receive_for_node(struct __sk_buff *skb, struct packet *p)
{
	struct ipcache_entry *to;
	int err = nat_reverse(skb, p);

	if (err == 0)
		return TC_ACT_UNSPEC;
	if (err < 0)
		return err;
	to = ipcache_exact(&p->tuple.destination);
	if (to && to->flags & IPCACHE_LOCAL)
		return ingress_to_pod(skb, p, to->ifindex);
	/* from a remote backend to an external client */
	return route_translated(skb, p);
}

SEC("tc")
int from_netdev(struct __sk_buff *skb)
{
	struct packet p = {};
	struct node *node = this_node();
	struct ipcache_entry *to;
	__u32 ifindex;
	bool host;
	int err;

	/* frames of a VLAN are its device's, and those for another MAC nobody's */
	if ((skb->vlan_present && skb->vlan_tci & VLAN_ID_MASK) ||
	    skb->pkt_type == PACKET_OTHERHOST)
		return TC_ACT_UNSPEC;
	err = parse_frame(skb, &p);
	/* also checked by the XDP program, where one is attached */
	if (node && unlikely(node->denied) && p.family &&
	    prefilter_denies_noinline(&p.tuple.source)) {
		count(REASON_DENIED_BY_PREFILTER, METRIC_INGRESS, skb->len);
		return TC_ACT_SHOT;
	}
	/* a packet that is not for a pod is left to the host's stack: never lock the operator out
	 */
	if (unlikely(err || skb->vlan_present))
		return leave_to_stack(skb, &p, err);
	if (routing_mode == ROUTING_VXLAN) {
		/* to the tunnel more often than to a pod: the cache would be asked in vain */
		to = ipcache_exact(&p.tuple.destination);
		ifindex = endpoint_ifindex(to);
	} else {
		ifindex = local_ifindex(&p.tuple.destination, &to);
	}
	if (ifindex) {
		err = receive_for_pod(skb, &p, ifindex);
		return err < TC_ACT_UNSPEC ? drop_on_arrival(skb, &p, err) : err;
	}
	if (!to)
		return leave_to_stack(skb, &p, 0);
	host = to->identity == IDENTITY_HOST;
	if (host && tunnel_ifindex && is_to_tunnel_port(&p)) {
		err = receive_from_tunnel(skb, &p);
		return err < TC_ACT_UNSPEC ? drop_on_arrival(skb, &p, err) : err;
	}
	if (!(host || to->flags & IPCACHE_SERVICE))
		return leave_to_stack(skb, &p, 0);
	if (unlikely(p.flags & PACKET_FRAGMENT)) {
		if (check_client(skb, &p))
			return leave_to_stack(skb, &p, 0);
		/* what may be the node's own the stack puts in order itself */
		err = order_fragment(skb, &p, 0, host ? METRIC_DIRECTIONS : METRIC_INGRESS);
		if (err == FRAGMENT_RELEASED || (err == FRAGMENT_HELD && !host))
			return TC_ACT_SHOT;
		if (fragment_track(&p, 0))
			return leave_to_stack(skb, &p, 0);
	}
	/* answers come first: a translated flow may have the port of a service */
	err = host ? receive_for_node(skb, &p) : TC_ACT_UNSPEC;
	if (err == TC_ACT_UNSPEC && to->flags & IPCACHE_SERVICE) {
		err = choose_backend(&p, SCOPE_EXTERNAL, SHARE_OF_NODE);
		if (err > 0) {
			err = receive_for_service(skb, &p);
			return err < TC_ACT_UNSPEC ? drop_on_arrival(skb, &p, err) : err;
		}
		if (err || !host) {
			err = err ? err : DROP(SERVICE_BACKEND_NOT_FOUND);
			drop_on_arrival(skb, &p, err);
			return err == DROP(SERVICE_BACKEND_NOT_FOUND) ? refuse_client(skb, &p)
								      : TC_ACT_SHOT;
		}
		err = TC_ACT_UNSPEC;
	}
	if (err == TC_ACT_UNSPEC)
		return leave_to_stack(skb, &p, 0);
	return err < TC_ACT_UNSPEC ? drop_on_arrival(skb, &p, err) : err;
}

SEC("tc")
int to_netdev(struct __sk_buff *skb)
{
	struct packet p = {};
	struct event_context c = {.point = POINT_TO_NETWORK};
	struct device *device;
	struct address to;
	__u32 ifindex = skb->ifindex;
	int err;

	if ((skb->mark & MARK_MASK) == MARK_OVERLAY)
		return TC_ACT_UNSPEC;
	if ((skb->mark & MARK_MASK) != MARK_MASQUERADE) {
		struct node *node = this_node();

		/* may be the reply of a service backend on this node */
		if (!node || !node->host_backends || parse_frame(skb, &p) || fragment_track(&p, 0))
			return TC_ACT_UNSPEC;
		err = nat_reverse(skb, &p);
		if (err < 0)
			goto dropped;
		return TC_ACT_UNSPEC;
	}
	err = parse_frame(skb, &p);
	if (err > 0)
		return TC_ACT_UNSPEC;
	if (err)
		goto dropped;
	device = device_by_ifindex(ifindex);
	if (!device)
		return TC_ACT_UNSPEC;
	to = p.family == 4 ? device->ipv4 : device->ipv6;
	if (HALF(&to, 0) == 0 && HALF(&to, 1) == 0)
		return TC_ACT_UNSPEC;
	err = fragment_track(&p, skb->ingress_ifindex);
	if (err)
		goto dropped;
	err = nat_masquerade(skb, &p, &to);
	if (err)
		goto dropped;
	skb->mark = (skb->mark & ~MARK_MASK) | MARK_NAT_DONE;
	trace(skb, &p, &c, TRACE_LEVEL_PACKETS);
	return TC_ACT_UNSPEC;
dropped:
	return drop(skb, &p, &c, err, METRIC_EGRESS);
}

char _license[] SEC("license") = "GPL";

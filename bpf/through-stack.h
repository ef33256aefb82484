/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * With forward_by_stack, the stack forwards translated packets, so that its rules apply: nftables, IPsec policies, ip rule
 *
 *   from_pod, from_overlay ── device for forwarding ── the stack's rules ── to_world ── world
 *
 * The packets enter by a device of their own. It accepts this node's own addresses as a source, and an nftables chain of the
 * agent keeps connection tracking away, so that no rule translates the packets a second time. The replies do not go
 * through the stack, so tracking would call the packets invalid, too.
 *
 * The stack tells the sender what it cannot forward: the egress IP, which is the node's own address. from_world takes these
 * ICMP errors from the loopback device.
 */
#ifndef SALLYPORT_THROUGH_STACK_H
#define SALLYPORT_THROUGH_STACK_H

enum {
	LOOPBACK = 1,		/* its index in every network namespace */
	ANY_HOST4 = 0xffffffff,	/* 255.255.255.255 */
	IPSEC_NAT_PORT = 4500,
};

/* The stack would deliver such a packet to this node's own sockets, as if the node had sent it. */
static __noinline enum verdict refuse_own_address(const struct packet *packet)
{
	struct cluster_destination *destination = find_in_cluster(&packet->receiver);
	bool is_own = destination && destination->kind == CLUSTER_HOST;
	bool is_broadcast = packet->family == 4 && packet->receiver.words[3] == ANY_HOST4;

	return is_own || is_broadcast || is_near(&packet->receiver) || is_multicast(&packet->receiver) ? DROP_NO_ROUTE :
													 CONTINUE;
}

/* Rules may use the mark, so the address travels in tc_index, which keeps 16 bits through the stack, in fragments, too. */
static __always_inline __u32 digest_of(const struct address *address)
{
	__u32 folded = address->words[0] ^ address->words[1] * 3 ^ address->words[2] * 5 ^ address->words[3];

	return folded * 0x9e3779b1U >> 16;
}

/*
 * The stack decrements the hop limit. A packet that it has forwarded already, because it translated a Service, would lose two.
 */
static __always_inline long restore_ttl(struct __sk_buff *skb, const struct packet *packet)
{
	return packet->is_leaving ? set_ttl(skb, packet, packet->ttl + 1) : 0;
}

/* `source` is the egress IP, which the packet has by now. */
static __noinline enum verdict hand_to_stack(struct __sk_buff *skb, const struct packet *packet,
					     const struct address *source)
{
	struct self *own = this_node();

	if (!own || !own->forward_ifindex)
		return DROP_INTERNAL;
	if (restore_ttl(skb, packet) || write_macs(skb, own->overlay_mac, own->overlay_mac))
		return DROP_INTERNAL;
	skb->tc_index = digest_of(source);
	record_departure(DEPARTED_BY_DEVICE, own->forward_ifindex);
	return bpf_redirect(own->forward_ifindex, BPF_F_INGRESS) == TC_ACT_REDIRECT ? SENT_THROUGH_STACK : DROP_INTERNAL;
}

/* IPsec may put the packet into one of its own. */
static __always_inline bool is_of_ipsec(const struct packet *packet)
{
	__u8 protocol = packet->flow.protocol;

	return protocol == IPPROTO_ESP || protocol == IPPROTO_AH ||
	       (protocol == IPPROTO_UDP && packet->flow.destination_port == bpf_htons(IPSEC_NAT_PORT));
}

static __always_inline bool has_egress_ip(struct __sk_buff *skb, const struct packet *packet)
{
	return digest_of(&packet->sender) == skb->tc_index && bpf_map_lookup_elem(&egress_ips, &packet->sender);
}

/* A stage of to_world: drops a forwarded packet if a rule of the stack has changed its source address. */
static __noinline enum verdict check_handed(struct __sk_buff *skb, const struct packet *packet)
{
	struct self *own = this_node();

	if (forward_by_stack && own && own->forward_ifindex && skb->ingress_ifindex == own->forward_ifindex)
		return has_egress_ip(skb, packet) || is_of_ipsec(packet) ? PASS_FROM_STACK : DROP_ADDRESS_CHANGED;
	return services_by_stack || replaces_kube_proxy ? CONTINUE : PASS_NOT_OURS;
}

/* Does the packet come by the loopback device? A simulation has none. */
static __always_inline bool is_from_stack(struct __sk_buff *skb)
{
	return forward_by_stack && !simulated_host && skb->ifindex == LOOPBACK;
}

/*
 * For the loopback device. Its packets keep the route that they came by, which a pod's namespace does
 * not know: as leaving packets they go by the pod's device, which drops the route.
 */
static __always_inline enum verdict read_from_stack(struct packet *packet)
{
	packet->is_leaving = 1;
	return packet->is_icmp_error ? CONTINUE : PASS_NOT_OURS;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a packet can be sent: into a pod of this node, into the tunnel, or out by the kernel's routes
 */
#ifndef SALLYPORT_FORWARD_H
#define SALLYPORT_FORWARD_H

enum {
	TUNNEL_TTL = 64,
	ADDRESS_LENGTH = 2 * ETH_ALEN,
	SMALLEST_MTU = 1280,	/* the minimum of IPv6; IPv4 links rarely have less */
};

static __always_inline long write_macs(struct __sk_buff *skb, const __u8 *destination, const __u8 *source)
{
	__u8 macs[ADDRESS_LENGTH];

	__builtin_memcpy(macs, destination, ETH_ALEN);
	__builtin_memcpy(macs + ETH_ALEN, source, ETH_ALEN);
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
}

/*
 * Straight into the pod's namespace, without the backlog queue; the kernel allows that only for a packet that comes in, and
 * not within the node's own namespace. The packet still has the type that the device it came by gave it, which may be "for
 * another host".
 */
static __noinline enum verdict send_to_pod(struct __sk_buff *skb, struct packet *packet, const struct pod *pod)
{
	if (write_macs(skb, pod->mac, pod->host_mac))
		return DROP_INTERNAL;
	bpf_skb_change_type(skb, PACKET_HOST);
	record_departure(DEPARTED_TO_POD, pod->ifindex);
	if (packet->is_leaving || pod->is_node)
		return bpf_redirect(pod->ifindex, 0) == TC_ACT_REDIRECT ? SENT_TO_POD : DROP_INTERNAL;
	return bpf_redirect_peer(pod->ifindex, 0) == TC_ACT_REDIRECT ? SENT_TO_POD : DROP_INTERNAL;
}

/* The MAC of a packet from the tunnel is not this node's, and the stack would drop the packet as another host's. */
static __always_inline enum verdict pass_to_stack(struct __sk_buff *skb)
{
	bpf_skb_change_type(skb, PACKET_HOST);
	return PASS_TO_STACK;
}

/* Through the tunnel. The inner MACs do not matter: a node takes every packet that comes out of its tunnel. */
static __noinline enum verdict send_to_node(struct __sk_buff *skb, struct packet *packet,
					    const struct address *node, __u32 vni, enum verdict sent)
{
	struct bpf_tunnel_key key = { .tunnel_id = vni, .tunnel_ttl = TUNNEL_TTL };
	struct self *own = this_node();
	__u64 flags = BPF_F_ZERO_CSUM_TX;

	if (!own)
		return DROP_INTERNAL;
	if (is_ipv4(node)) {
		key.remote_ipv4 = bpf_ntohl(node->words[3]);
	} else {
		__builtin_memcpy(key.remote_ipv6, node, sizeof(key.remote_ipv6));
		flags = BPF_F_TUNINFO_IPV6;
	}
	if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags))
		return DROP_INTERNAL;
	if (write_macs(skb, own->overlay_mac, own->overlay_mac))
		return DROP_INTERNAL;
	record_departure(DEPARTED_INTO_TUNNEL, own->overlay_ifindex);
	record_tunnel(node, vni);
	return bpf_redirect(own->overlay_ifindex, 0) == TC_ACT_REDIRECT ? sent : DROP_INTERNAL;
}

static __always_inline long set_ttl(struct __sk_buff *skb, const struct packet *packet, __u8 ttl)
{
	if (packet->family == 6)
		return bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct ipv6hdr, hop_limit), &ttl, 1, 0);
	if (bpf_l3_csum_replace(skb, L3_OFFSET + offsetof(struct iphdr, check), bpf_htons(packet->ttl << 8),
				bpf_htons(ttl << 8), 2))
		return -1;
	return bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct iphdr, ttl), &ttl, 1, 0);
}

static __always_inline void fill_fib(struct bpf_fib_lookup *fib, const struct packet *packet,
				     const struct address *source)
{
	fib->l4_protocol = packet->flow.protocol;
	if (packet->family == 4) {
		fib->family = AF_INET;
		fib->ipv4_src = source->words[3];
		fib->ipv4_dst = packet->receiver.words[3];
	} else {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, source, 16);
		__builtin_memcpy(fib->ipv6_dst, &packet->receiver, 16);
	}
}

/* For an aggregate, the length of the segments that it will be cut into. 0: unknown. */
static __always_inline __u32 length_on_wire(struct __sk_buff *skb, const struct packet *packet)
{
	if (!skb->gso_size)
		return skb->len - L3_OFFSET;
	if (packet->flow.protocol != IPPROTO_TCP)
		return 0;
	return skb->gso_size + packet->l4_offset - L3_OFFSET + sizeof(struct tcphdr);
}

/* Is the packet too big for the tunnel? One that may be fragmented is not: the kernel fragments it. */
static __always_inline bool is_too_big(struct __sk_buff *skb, const struct packet *packet, __u32 tunnel_mtu)
{
	return (packet->dont_fragment || skb->gso_size) && length_on_wire(skb, packet) > tunnel_mtu;
}

struct way_out {
	__u32 ifindex;
	__u32 mtu;			/* 0: the kernel does not say */
	__u8 macs[ADDRESS_LENGTH];	/* destination and source, as in a frame */
	__u8 knows_neighbour;
};

/*
 * Finds the route that the node's own forwarding would take if the packet had the address `source`. If the packet must leave
 * by the device `bound`, only routes of that device count. This happens before the packet is rewritten, because a packet that
 * is too big is answered with the addresses that its sender knows.
 */
static __noinline enum verdict find_way_out(struct __sk_buff *skb, const struct packet *packet,
					    const struct address *source, __u32 bound, struct way_out *way)
{
	__u32 length = length_on_wire(skb, packet);
	struct bpf_fib_lookup fib = { .tot_len = length };
	long result;

	if (packet->ttl <= 1)
		return DROP_TTL_EXCEEDED;
	fill_fib(&fib, packet, source);
	fib.ifindex = bound ?: device_of(skb);
	result = look_up_route(skb, &fib, &packet->receiver, bound ? BPF_FIB_LOOKUP_OUTPUT : 0);
	/* For IPv6 the kernel prefers routes of the device, and takes one of another device if that has a lower metric. */
	if (bound && fib.ifindex != bound)
		return DROP_NO_ROUTE;
	/* The kernel puts the MTU in the length's place, but not before 5.12, nor if it does not know the neighbour. */
	way->mtu = fib.mtu_result == (__u16)length ? 0 : fib.mtu_result;
	way->ifindex = fib.ifindex;
	__builtin_memcpy(way->macs, fib.dmac, ETH_ALEN);
	__builtin_memcpy(way->macs + ETH_ALEN, fib.smac, ETH_ALEN);
	way->knows_neighbour = result == BPF_FIB_LKUP_RET_SUCCESS;
	if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return DROP_TOO_BIG;
	return way->knows_neighbour || result == BPF_FIB_LKUP_RET_NO_NEIGH ? CONTINUE : DROP_NO_ROUTE;
}

/* If the kernel does not know the neighbour yet, redirect_neigh resolves it and queues the packet meanwhile. */
static __noinline enum verdict send_to_world(struct __sk_buff *skb, struct packet *packet, const struct way_out *way,
					     enum verdict sent)
{
	if (set_ttl(skb, packet, packet->ttl - 1))
		return DROP_INTERNAL;
	record_departure(DEPARTED_BY_DEVICE, way->ifindex);
	if (!way->knows_neighbour)
		return bpf_redirect_neigh(way->ifindex, NULL, 0, 0) == TC_ACT_REDIRECT ? sent : DROP_INTERNAL;
	if (bpf_skb_store_bytes(skb, 0, way->macs, sizeof(way->macs), 0))
		return DROP_INTERNAL;
	return bpf_redirect(way->ifindex, 0) == TC_ACT_REDIRECT ? sent : DROP_INTERNAL;
}

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The ways out: into a pod of this node, into the tunnel, or out by the kernel's routes
 */
#ifndef SALLYPORT_FORWARD_H
#define SALLYPORT_FORWARD_H

enum {
	TUNNEL_TTL = 64,
	ADDRESS_LENGTH = 2 * ETH_ALEN,
};

static __always_inline long write_macs(struct __sk_buff *skb, const __u8 *destination, const __u8 *source)
{
	__u8 macs[ADDRESS_LENGTH];

	__builtin_memcpy(macs, destination, ETH_ALEN);
	__builtin_memcpy(macs + ETH_ALEN, source, ETH_ALEN);
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
}

/* Straight into the pod's namespace, past the backlog queue. The packet type is as of the device it came by. */
static __noinline enum verdict send_to_pod(struct __sk_buff *skb, struct packet *packet, const struct pod *pod)
{
	if (write_macs(skb, pod->mac, pod->host_mac))
		return DROP_INTERNAL;
	bpf_skb_change_type(skb, PACKET_HOST);
	packet->action = bpf_redirect_peer(pod->ifindex, 0);
	return packet->action == TC_ACT_REDIRECT ? SENT_TO_POD : DROP_INTERNAL;
}

/* Through the tunnel. The inner MACs say nothing: every packet that comes out of a tunnel is for the node it came to. */
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
	packet->action = bpf_redirect(own->overlay_ifindex, 0);
	return packet->action == TC_ACT_REDIRECT ? sent : DROP_INTERNAL;
}

static __always_inline long decrement_ttl(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 ttl = packet->ttl - 1;

	if (packet->family == 6)
		return bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct ipv6hdr, hop_limit), &ttl, 1, 0);
	if (bpf_l3_csum_replace(skb, L3_OFFSET + offsetof(struct iphdr, check), bpf_htons(packet->ttl << 8),
				bpf_htons(ttl << 8), 2))
		return -1;
	return bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct iphdr, ttl), &ttl, 1, 0);
}

static __always_inline void fill_fib(struct bpf_fib_lookup *fib, struct __sk_buff *skb, const struct packet *packet,
				     const struct address *source)
{
	fib->ifindex = skb->ifindex;
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

/*
 * Out by the kernel's routes, as the node's own forwarding would, with `source` as the packet's source.
 * A neighbour that the kernel does not know yet is asked for by redirect_neigh, which queues the packet meanwhile.
 */
static __noinline enum verdict send_to_world(struct __sk_buff *skb, struct packet *packet,
					     const struct address *source, enum verdict sent)
{
	struct bpf_fib_lookup fib = {};
	long result;

	if (packet->ttl <= 1)
		return DROP_TTL_EXCEEDED;
	fill_fib(&fib, skb, packet, source);
	result = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return DROP_NO_ROUTE;
	if (decrement_ttl(skb, packet))
		return DROP_INTERNAL;
	if (result == BPF_FIB_LKUP_RET_SUCCESS) {
		if (write_macs(skb, fib.dmac, fib.smac))
			return DROP_INTERNAL;
		packet->action = bpf_redirect(fib.ifindex, 0);
	} else {
		packet->action = bpf_redirect_neigh(fib.ifindex, NULL, 0, 0);
	}
	return packet->action == TC_ACT_REDIRECT ? sent : DROP_INTERNAL;
}

/* What needs the tunnel must fit into it: an aggregate is judged by the segments that it will be cut into. */
static __always_inline bool is_too_big(struct __sk_buff *skb, const struct packet *packet, __u32 tunnel_mtu)
{
	__u32 length = skb->len - L3_OFFSET;

	if (skb->gso_size)
		return packet->flow.protocol == IPPROTO_TCP &&
		       skb->gso_size + packet->l4_offset - L3_OFFSET + sizeof(struct tcphdr) > tunnel_mtu;
	return packet->dont_fragment && length > tunnel_mtu;
}

#endif

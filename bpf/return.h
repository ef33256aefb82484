/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sends a packet for a port of an egress IP to the node that owns the port, and there into the pod
 */
#ifndef SALLYPORT_RETURN_H
#define SALLYPORT_RETURN_H

/*
 * For a port that this node owns: `ports` leads to the mapping, and the mapping to the pod.
 *
 * The server's MSS limits what the pod sends. If it came by the link, it stays: should the flow take the tunnel later, from_pod
 * tells the pod at once that a segment is too big. The pod's own MSS limits what a distant server sends, which may never learn
 * that something is too big. So that one is always the tunnel's (clamp_outward).
 */
static __noinline enum verdict return_to_pod(struct __sk_buff *skb, struct packet *packet)
{
	struct flow_key key, flow;
	__u64 now = recent_ns();
	struct rewrite rewrite = { .side = SIDE_DESTINATION };
	struct self *own = this_node();
	struct mapping *mapping;
	bool through_stack, through_service;
	enum verdict verdict;
	struct pod *pod;

	reverse_flow(&key, &packet->flow);
	mapping = find_by_port(&key, &flow, now);
	if (!mapping || !own)
		return DROP_NO_MAPPING;
	pod = bpf_map_lookup_elem(&pods, &flow.source);
	if (!pod || mapping->created_ns < pod->since_ns)
		return DROP_NOT_A_LOCAL_POD;
	note_fragment(packet);
	rewrite.from = key.source;
	rewrite.to = flow.source;
	rewrite.from_port = key.source_port;
	rewrite.to_port = flow.source_port;
	through_stack = services_by_stack && mapping->through_stack;
	through_service = (chained || replaces_kube_proxy) && mapping->through_service;
	track_inward(mapping, packet, &flow.source, skb->len, now);
	if (!mapping->masqueraded && !(link_path && packet->is_from_world))
		clamp_mss(skb, packet, own->tunnel_mtu);
	verdict = rewrite_packet(skb, packet, &rewrite);
	if (verdict == CONTINUE && through_service)
		verdict = restore_service(&rewrite, &flow) ?: rewrite_packet(skb, packet, &rewrite);
	if (verdict != CONTINUE)
		return verdict;
	return through_stack ? pass_to_stack(skb) : send_to_pod(skb, packet, pod);
}

/* What the kernel's lookups take. Returns its length. */
static __always_inline __u32 fill_tuple(struct bpf_sock_tuple *tuple, const struct flow_key *flow)
{
	if (is_ipv4(&flow->source)) {
		tuple->ipv4.saddr = flow->source.words[3];
		tuple->ipv4.daddr = flow->destination.words[3];
		tuple->ipv4.sport = flow->source_port;
		tuple->ipv4.dport = flow->destination_port;
		return sizeof(tuple->ipv4);
	}
	__builtin_memcpy(tuple->ipv6.saddr, &flow->source, sizeof(struct address));
	__builtin_memcpy(tuple->ipv6.daddr, &flow->destination, sizeof(struct address));
	tuple->ipv6.sport = flow->source_port;
	tuple->ipv6.dport = flow->destination_port;
	return sizeof(tuple->ipv6);
}

/*
 * Does a socket of the node take the packet? Before the agent started, the kernel gave sockets any port. Such a connection
 * must go on, so on the node's own address a socket comes first.
 */
static __noinline bool has_own_socket(struct __sk_buff *skb, const struct flow_key *flow)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	__u32 length;

	if (simulated_host)
		return has_simulated_socket();
	length = fill_tuple(&tuple, flow);
	if (flow->protocol == IPPROTO_TCP)
		socket = bpf_skc_lookup_tcp(skb, &tuple, length, BPF_F_CURRENT_NETNS, 0);
	else if (flow->protocol == IPPROTO_UDP)
		socket = bpf_sk_lookup_udp(skb, &tuple, length, BPF_F_CURRENT_NETNS, 0);
	else
		return false;
	if (!socket)
		return false;
	bpf_sk_release(socket);
	return true;
}

static __always_inline bool is_this_node(const struct self *own, __u32 owner)
{
	return owner == own->slot || owner == THIS_NODE;
}

static __always_inline bool is_nobodys(__u32 owner)
{
	return owner == NO_SLOT || owner == LEFT_TO_STACK;
}

/* The owner of the port that the packet is for, NO_SLOT if the port has none or the address is no egress IP. */
static __always_inline __u32 find_owner(const struct packet *packet)
{
	struct egress_ip *egress_ip = bpf_map_lookup_elem(&egress_ips, &packet->receiver);

	return egress_ip ? owner_of(egress_ip, packet->flow.destination_port) : NO_SLOT;
}

/* An ICMP error must speak about a packet of the address that it was sent to (RFC 5508 REQ-3). */
static __always_inline bool is_misleading_error(const struct packet *packet)
{
	return !same_address(&packet->receiver, &packet->flow.destination);
}

/* A packet for the shared address of chained mode comes this far only with a claim, which no socket has. */
static __always_inline bool is_for_socket(struct __sk_buff *skb, const struct packet *packet)
{
	return !own_address_is_shared && has_own_socket(skb, &packet->flow);
}

/* By the link or through the tunnel to another node. The node's own address is shared with its own sockets, which come first. */
static __noinline enum verdict send_to_owner(struct __sk_buff *skb, struct packet *packet, const struct self *own,
					     __u32 owner)
{
	struct address *node = bpf_map_lookup_elem(&slots, &owner);
	struct way_out way;
	bool is_by_link;
	__u32 mtu;

	if (is_own_address(own, &packet->receiver) && (!node || is_for_socket(skb, packet)))
		return CONTINUE;
	if (!node)
		return DROP_UNKNOWN_NODE;
	if (link_path && packet->is_from_world && is_sent_back(skb, packet))
		return DROP_LOOP;
	is_by_link = link_path && find_link(skb, packet, node, recent_ns(), &way);
	mtu = is_by_link ? way.mtu : own->tunnel_mtu;
	if (is_too_big(skb, packet, mtu))
		return answer_too_big(skb, packet, mtu);
	note_fragment(packet);
	if (is_by_link)
		return send_by_link(skb, &way, SENT_TO_OWNER_BY_LINK);
	return send_to_node(skb, packet, node, TUNNEL_RETURN, SENT_TO_OWNER);
}

/* The owner of the port gets the packet: a pod of this node, or another node. CONTINUE: the port has no owner. */
static __noinline enum verdict return_to_owner(struct __sk_buff *skb, struct packet *packet)
{
	__u32 owner = find_owner(packet);
	struct self *own = this_node();

	if (!own || is_nobodys(owner))
		return CONTINUE;
	if (is_misleading_error(packet))
		return DROP_MALFORMED;
	return is_this_node(own, owner) ? return_to_pod(skb, packet) : send_to_owner(skb, packet, own, owner);
}

/* A packet from a gateway must be for this node. Two nodes that disagree about an owner would send it back and forth. */
static __noinline enum verdict return_from_gateway(struct __sk_buff *skb, struct packet *packet)
{
	__u32 owner = find_owner(packet);
	struct self *own = this_node();

	if (!own || is_nobodys(owner))
		return DROP_NO_MAPPING;
	if (is_misleading_error(packet))
		return DROP_MALFORMED;
	return is_this_node(own, owner) ? return_to_pod(skb, packet) : DROP_LOOP;
}

#endif

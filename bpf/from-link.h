/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stages of from_world: a packet that another node sent by a link that it shares with this one (link.h)
 *
 * Outward packets come from an egress IP. The source MAC says which node sent the frame, and the node may send only from ports that it
 * owns, as through the tunnel. A returning packet needs no stage of its own: it is for a port that this node owns.
 */
#ifndef SALLYPORT_FROM_LINK_H
#define SALLYPORT_FROM_LINK_H

static __always_inline bool is_placeholder(const struct address *address)
{
	if (is_ipv4(address))
		return address->words[3] == bpf_htonl(PLACEHOLDER4);
	return address->words[0] == bpf_htonl(PLACEHOLDER6_FIRST) && !address->words[1] &&
	       !address->words[2] && address->words[3] == bpf_htonl(PLACEHOLDER6_LAST);
}

static __always_inline bool is_link_probe(const struct packet *packet)
{
	return packet->flow.protocol == IPPROTO_UDP && !packet->is_icmp_error && !packet->is_later_fragment &&
	       packet->flow.destination_port == bpf_htons(LINK_PROBE_PORT);
}

static __always_inline long swap_addresses(struct __sk_buff *skb, const struct packet *packet)
{
	struct address swapped[2] = { packet->receiver, packet->sender };
	__be32 swapped4[2] = { packet->receiver.words[3], packet->sender.words[3] };

	if (packet->family == 6)
		return bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct ipv6hdr, saddr), swapped, sizeof(swapped), 0);
	return bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct iphdr, saddr), swapped4, sizeof(swapped4), 0);
}

/*
 * The answer comes back by the link as a packet of the world does. Checksums stay right, because the addresses only change places.
 * While the agent is not alive there is no answer, and the source node uses the tunnel.
 */
static __noinline enum verdict answer_link_probe(struct __sk_buff *skb, const struct packet *packet,
						 const struct address *node)
{
	struct link *link = bpf_map_lookup_elem(&links, node);
	struct way_out way;

	if (!link || !is_agent_alive())
		return TAKEN_PROBE_ANSWER;
	if (packet->flow.source_port == bpf_htons(LINK_PROBE_ANSWERED))
		link->answered_ns = now_ns();
	fill_way_by(&way, link);
	return swap_addresses(skb, packet) ? DROP_INTERNAL : send_by_link(skb, &way, SENT_PROBE_ANSWER);
}

/* A gateway that answers by one of both paths is reachable. */
static __always_inline enum verdict note_link_answer(const struct address *node)
{
	struct probed_gateway *gateway = bpf_map_lookup_elem(&probed_gateways, node);
	struct link *link = bpf_map_lookup_elem(&links, node);

	if (gateway)
		gateway->answered_ns = now_ns();
	if (link)
		link->answered_ns = now_ns();
	return TAKEN_PROBE_ANSWER;
}

/* Who sent it, if a node did and the packet is for the world: fills in `node` and `slot`. */
static __noinline enum verdict identify_link_node(struct __sk_buff *skb, const struct packet *packet,
						  struct tunnel_end *source)
{
	struct cluster_destination *destination = find_in_cluster(&packet->receiver);
	struct address *address;
	struct node *node;

	/* A node's own packets to nodes are the stack's. */
	if (skb->pkt_type != PACKET_HOST || (destination && !destination->carries_flows))
		return CONTINUE;
	address = node_of_frame(skb);
	node = address ? bpf_map_lookup_elem(&nodes, address) : NULL;
	if (!node)
		return DROP_UNKNOWN_NODE;
	source->vni = TUNNEL_OUTWARD;
	source->node = *address;
	source->slot = node->slot;
	return CONTINUE;
}

/*
 * A packet whose sender is an egress IP. A gateway that is also a router of the link may send here what it forwards for others, and
 * then owns no port of it.
 */
static __noinline enum verdict check_link_packet(struct __sk_buff *skb, const struct packet *packet,
						 struct tunnel_end *source)
{
	struct egress_ip *egress_ip = bpf_map_lookup_elem(&egress_ips, &packet->sender);
	enum verdict verdict;

	if (!egress_ip)
		return CONTINUE;
	verdict = identify_link_node(skb, packet, source);
	if (verdict != CONTINUE || source->vni != TUNNEL_OUTWARD)
		return verdict;
	if (owns_source_port(packet, egress_ip, source->slot))
		return check_ownership(packet, egress_ip, source);
	source->vni = 0;
	return may_hold(egress_ip, &source->node) ? CONTINUE : DROP_NOT_THE_OWNER;
}

/*
 * The MAC says who sent a probe. Its source is an egress IP for the sake of filters on the way, and this node may not have that address
 * in its tables: the policies of the two nodes differ while one of them has not received a change.
 */
static __noinline enum verdict take_link_probe(struct __sk_buff *skb, struct packet *packet, struct tunnel_end *source)
{
	struct address *node = node_of_frame(skb);

	if (is_placeholder(&packet->sender))
		return node ? note_link_answer(node) : DROP_UNKNOWN_NODE;
	if (is_placeholder(&packet->receiver) && node && bpf_map_lookup_elem(&nodes, node))
		return answer_link_probe(skb, packet, node);
	return check_link_packet(skb, packet, source);
}

/* Fills in `source` if the packet came by the link and is to be forwarded. */
static __noinline enum verdict take_from_link(struct __sk_buff *skb, struct packet *packet, struct tunnel_end *source)
{
	return is_link_probe(packet) ? take_link_probe(skb, packet, source) : check_link_packet(skb, packet, source);
}

static __always_inline enum verdict forward_from_link(struct __sk_buff *skb, struct packet *packet,
						      struct tunnel_end *source)
{
	return source->vni == TUNNEL_OUTWARD ? forward_outward(skb, packet, source) : CONTINUE;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stages of from_world: a packet that arrived by a native device
 *
 * The program handles only packets for a port of an egress IP. All others go to the node's stack, malformed ones too.
 */
#ifndef SALLYPORT_FROM_WORLD_H
#define SALLYPORT_FROM_WORLD_H

static __always_inline enum verdict read_from_world(struct __sk_buff *skb, struct packet *packet)
{
	if (is_of_vlan(skb) || parse(skb, packet) != CONTINUE)
		return PASS_NOT_OURS;
	packet->is_from_world = 1;
	return is_from_stack(skb) ? read_from_stack(packet) : CONTINUE;
}

/* On a gateway nearly every other packet comes by the tunnel, and its outer packet comes here first. */
static __always_inline enum verdict pass_tunnel_packet(const struct packet *packet)
{
	struct self *own = this_node();

	if (!own || (is_for_tunnel(packet) && same_address(&packet->receiver, &own->tunnel_address)))
		return PASS_NOT_OURS;
	return CONTINUE;
}

/* The node shares its own address with its own sockets: without a mapping, or without a claim, the stack decides. */
static __always_inline enum verdict return_from_world(struct __sk_buff *skb, struct packet *packet)
{
	struct self *own = this_node();
	enum verdict verdict;

	if (is_shared_address(&packet->receiver) && !is_nobodys(find_owner(packet)) && !is_claimed(skb, packet))
		return PASS_NOT_OURS;
	verdict = return_to_owner(skb, packet);
	if (replaces_kube_proxy && verdict == DROP_NOT_A_LOCAL_POD)
		verdict = return_to_client(skb, packet);
	if (verdict == DROP_NO_MAPPING && own && is_own_address(own, &packet->receiver))
		return PASS_NOT_OURS;
	return verdict;
}

/* The tunnel listens at all addresses; nodes know it by one. */
static __always_inline enum verdict refuse_tunnel_packet(const struct packet *packet)
{
	return is_for_tunnel(packet) && bpf_map_lookup_elem(&egress_ips, &packet->receiver) ? DROP_TUNNEL_PORT : CONTINUE;
}

/*
 * Another node may own the port by a lease that this node has not seen yet. The stack would answer the packet with a reset
 * or with "unreachable" and end the connection. If this program drops the packet, the sender retransmits it and the
 * connection continues.
 */
static __noinline enum verdict refuse_leased_port(struct __sk_buff *skb, const struct packet *packet)
{
	__u16 port = bpf_ntohs(packet->flow.destination_port);
	struct self *own = this_node();

	if (packet->flow.protocol != IPPROTO_TCP && packet->flow.protocol != IPPROTO_UDP)
		return CONTINUE;
	if (packet->is_icmp_error || port < FIRST_EGRESS_PORT || find_owner(packet) == LEFT_TO_STACK)
		return CONTINUE;
	if (!own || is_own_address(own, &packet->receiver) || !bpf_map_lookup_elem(&egress_ips, &packet->receiver) ||
	    has_own_socket(skb, &packet->flow))
		return CONTINUE;
	return DROP_NO_MAPPING;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stages of from_overlay: a packet that arrived through the tunnel
 *
 * The program drops packets from addresses that are not cluster nodes. The VNI says what the packet is for.
 */
#ifndef SALLYPORT_FROM_OVERLAY_H
#define SALLYPORT_FROM_OVERLAY_H

/* Where a packet came from. */
struct tunnel_end {
	struct address node;
	__u32 vni;			/* enum tunnel */
	__u32 slot;			/* the node's, or NO_SLOT */
	__u32 bound;			/* of an outward packet: the device that it must leave by; 0: any */
};

/* A function of its own: before 6.8 the key would not fit on the stack below all that comes after. */
static __noinline enum verdict read_tunnel_key(struct __sk_buff *skb, struct tunnel_end *tunnel)
{
	struct bpf_tunnel_key key = {};
	struct simulated_run *run = simulated_tunnel ? this_run() : NULL;

	if (run) {
		tunnel->node = run->tunnel_source;
		tunnel->vni = run->tunnel_vni;
		return CONTINUE;
	}
	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0)) {
		map_ipv4(&tunnel->node, bpf_htonl(key.remote_ipv4));
	} else if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6)) {
		__builtin_memcpy(&tunnel->node, key.remote_ipv6, sizeof(tunnel->node));
	} else {
		return DROP_UNKNOWN_NODE;
	}
	tunnel->vni = key.tunnel_id;
	return CONTINUE;
}

/* Fills in `node`, `vni` and `slot`. */
static __noinline enum verdict identify_node(struct __sk_buff *skb, struct tunnel_end *tunnel)
{
	enum verdict verdict = skb->vlan_present ? DROP_VLAN : read_tunnel_key(skb, tunnel);
	struct node *node;

	if (verdict != CONTINUE)
		return verdict;
	node = bpf_map_lookup_elem(&nodes, &tunnel->node);
	if (!node)
		return DROP_UNKNOWN_NODE;
	tunnel->slot = node->slot;
	return CONTINUE;
}

/* ---- probes ---- */

static __always_inline bool is_agent_alive(void)
{
	__u32 key = 0;
	struct liveness *own = bpf_map_lookup_elem(&liveness, &key);

	return own && own->alive_until_ns > now_ns();
}

/* The kernel answers, so that thousands of sources cost no user-space work; but only while the agent is alive. */
static __noinline enum verdict answer_probe(struct __sk_buff *skb, struct packet *packet, const struct tunnel_end *tunnel)
{
	return send_to_node(skb, packet, &tunnel->node, is_agent_alive() ? TUNNEL_PROBE_ANSWER : TUNNEL_PROBE_REFUSAL,
			    SENT_PROBE_ANSWER);
}

/* Only gateways that the agent probes have an entry: answers of others do not count. */
static __noinline enum verdict note_probe_answer(const struct tunnel_end *tunnel)
{
	struct probed_gateway *gateway = bpf_map_lookup_elem(&probed_gateways, &tunnel->node);
	bool is_refusal = tunnel->vni == TUNNEL_PROBE_REFUSAL;

	if (gateway) {
		gateway->answered_ns = is_refusal ? 0 : now_ns();
		if (is_refusal)
			gateway->refused_ns = now_ns();
	}
	return TAKEN_PROBE_ANSWER;
}

static __always_inline enum verdict take_probe(struct __sk_buff *skb, struct packet *packet, const struct tunnel_end *tunnel)
{
	if (tunnel->vni == TUNNEL_PROBE)
		return answer_probe(skb, packet, tunnel);
	if (tunnel->vni == TUNNEL_PROBE_ANSWER || tunnel->vni == TUNNEL_PROBE_REFUSAL)
		return note_probe_answer(tunnel);
	return CONTINUE;
}

/* ---- packets ---- */

/* Nothing that stays on a link travels through a tunnel. */
static __always_inline enum verdict read_from_overlay(struct __sk_buff *skb, struct packet *packet)
{
	enum verdict verdict = parse_any(skb, packet);

	if (packet->is_of_link || (verdict != CONTINUE && verdict < DROP_MALFORMED))
		return DROP_UNSUPPORTED_PROTOCOL;
	return verdict;
}

/* Between pods, and between pods and nodes: addresses are as they were sent. */
static __noinline enum verdict deliver_from_cluster(struct __sk_buff *skb, struct packet *packet)
{
	struct pod *pod = bpf_map_lookup_elem(&pods, &packet->receiver);
	struct cluster_destination *destination;

	if (replaces_kube_proxy)
		forget_client(packet);
	if (pod)
		return services_by_stack ? pass_to_stack(skb) : deliver_to_pod(skb, packet, pod);
	destination = find_in_cluster(&packet->receiver);
	if (!destination || destination->kind != CLUSTER_HOST)
		return DROP_NOT_A_LOCAL_POD;
	pass_to_stack(skb);
	return PASS_TO_HOST;
}

static __always_inline bool owns_source_port(const struct packet *packet, const struct egress_ip *egress_ip, __u32 slot)
{
	return slot != NO_SLOT && owner_of(egress_ip, packet->flow.source_port) == slot;
}

/* A node may send only from ports that it owns. `egress_ip` is that of the sender, or NULL. Fills in `bound`. */
static __always_inline enum verdict check_ownership(const struct packet *packet, const struct egress_ip *egress_ip,
						    struct tunnel_end *tunnel)
{
	if (!egress_ip || !owns_source_port(packet, egress_ip, tunnel->slot) ||
	    !same_address(&packet->sender, &packet->flow.source))
		return DROP_NOT_THE_OWNER;
	tunnel->bound = egress_ip->ifindex;
	note_fragment(packet);
	return CONTINUE;
}

/* If the packet is too big for the route, the gateway tells its sender through the tunnel, as if the world had answered. */
static __noinline enum verdict forward_to_world(struct __sk_buff *skb, struct packet *packet,
						const struct tunnel_end *tunnel)
{
	bool is_reply = tunnel->vni == TUNNEL_SERVICE_REPLY;
	struct way_out way = {};
	enum verdict verdict;

	if (forward_by_stack && !is_reply)
		return refuse_own_address(packet) ?: hand_to_stack(skb, packet, &packet->sender);
	verdict = find_way_out(skb, packet, &packet->sender, tunnel->bound, &way);
	if (expects_too_big(packet, verdict))
		return become_answer(skb, packet, way.mtu ?: SMALLEST_MTU) ?:
		       send_to_node(skb, packet, &tunnel->node, is_reply ? TUNNEL_SERVICE : TUNNEL_RETURN, SENT_TOO_BIG);
	if (verdict != CONTINUE)
		return verdict;
	clamp_mss(skb, packet, way.mtu);
	return send_to_world(skb, packet, &way, SENT_FORWARDED);
}

/* If this node's stack uses the port, the source node learns it, and gives the flow another port. */
static __noinline enum verdict claim_forwarded(struct __sk_buff *skb, struct packet *packet,
					       const struct tunnel_end *tunnel)
{
	enum verdict verdict;

	if (!is_shared_address(&packet->flow.source))
		return CONTINUE;
	verdict = claim_port(skb, packet, &packet->flow);
	if (verdict != DROP_PORT_IN_USE || packet->is_icmp_error)
		return verdict;
	return send_to_node(skb, packet, &tunnel->node, TUNNEL_PORT_REFUSAL, SENT_PORT_REFUSAL);
}

/* Only the node that has the address can refuse a port of it. */
static __noinline enum verdict give_port_up(const struct packet *packet, const struct tunnel_end *tunnel)
{
	struct egress_ip *egress_ip = bpf_map_lookup_elem(&egress_ips, &packet->flow.source);
	struct flow_key *taken = bpf_map_lookup_elem(&ports, &packet->flow), flow;
	struct mapping *mapping;

	if (!egress_ip || !taken || !same_address(&egress_ip->order[0], &tunnel->node))
		return DROP_NO_MAPPING;
	flow = *taken;
	mapping = bpf_map_lookup_elem(&mappings, &flow);
	if (mapping && has_port(mapping, &flow, &packet->flow))
		refuse_port(mapping, &flow);
	return DROP_PORT_IN_USE;
}

/* A packet for another pod's port of an egress IP turns back here (hairpinning, RFC 4787 REQ-9). */
static __always_inline enum verdict forward_outward(struct __sk_buff *skb, struct packet *packet,
					       struct tunnel_end *tunnel)
{
	return claim_forwarded(skb, packet, tunnel) ?:
	       return_to_owner(skb, packet) ?:
	       forward_to_world(skb, packet, tunnel);
}

/* An endpoint of another node replies to a client that spoke to this node. */
static __always_inline enum verdict forward_reply(struct __sk_buff *skb, struct packet *packet, struct tunnel_end *tunnel)
{
	if (!is_for_clients(packet) || !same_address(&packet->sender, &packet->flow.source))
		return DROP_NOT_THE_OWNER;
	tunnel->bound = device_of_egress_ip(&packet->sender);
	note_fragment(packet);
	return forward_to_world(skb, packet, tunnel);
}

static __always_inline enum verdict take_packet(struct __sk_buff *skb, struct packet *packet, struct tunnel_end *tunnel)
{
	if (tunnel->vni == TUNNEL_POD)
		return deliver_from_cluster(skb, packet);
	if (packet->untranslatable)
		return packet->untranslatable;
	if (tunnel->vni == TUNNEL_OUTWARD)
		return check_ownership(packet, bpf_map_lookup_elem(&egress_ips, &packet->sender), tunnel) ?:
		       forward_outward(skb, packet, tunnel);
	if (tunnel->vni == TUNNEL_RETURN)
		return return_from_gateway(skb, packet);
	if (tunnel->vni == TUNNEL_PORT_REFUSAL)
		return give_port_up(packet, tunnel);
	if (replaces_kube_proxy && tunnel->vni == TUNNEL_SERVICE)
		return deliver_for_client(skb, packet, &tunnel->node);
	if (replaces_kube_proxy && tunnel->vni == TUNNEL_SERVICE_REPLY)
		return forward_reply(skb, packet, tunnel);
	return DROP_UNKNOWN_TUNNEL;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stages of from_pod: a packet leaves a pod of this node
 *
 * An established flow keeps its egress IP, whatever has changed since. Only a new flow is asked where it goes: to the cluster,
 * to the stack, or to the world by the pod's policy set.
 */
#ifndef SALLYPORT_FROM_POD_H
#define SALLYPORT_FROM_POD_H

/* What the stages learn about a packet. Each says which of these it fills in. */
struct journey {
	__u64 now;
	struct pod *pod;
	struct mapping *mapping;	/* NULL: the flow is new, or the packet cannot be translated */
	struct rule *rule;		/* of a new flow; NULL: no policy selects it */
};

static __always_inline enum verdict read_from_pod(struct __sk_buff *skb, struct packet *packet)
{
	return skb->vlan_present ? DROP_VLAN : parse_any(skb, packet);
}

/* A device belongs to one pod: an address that is not the pod's own is refused, whatever it is. Fills in `pod`. */
static __always_inline enum verdict identify_pod(struct __sk_buff *skb, const struct packet *packet, struct journey *journey)
{
	struct pod *pod = bpf_map_lookup_elem(&pods, &packet->sender);

	if (!pod)
		return DROP_UNKNOWN_POD;
	if (pod->ifindex != device_of(skb))
		return DROP_SPOOFED_SOURCE;
	if (pod->quarantined)
		return DROP_UNKNOWN_POD;
	if (packet->is_icmp_error && !same_address(&packet->flow.source, &packet->sender))
		return DROP_SPOOFED_SOURCE;
	journey->pod = pod;
	return CONTINUE;
}

/*
 * Would this come out of a node's tunnel as if another node had sent it? Nodes are known by their addresses, and a pod's
 * datagram gets its node's address on the way out, or from another plugin. Pods may have a tunnel among themselves. Where
 * the pod's own address stays the source, no node believes the datagram.
 */
static __noinline enum verdict refuse_forged_tunnel(const struct packet *packet)
{
	struct cluster_destination *destination;

	if (!is_for_tunnel(packet) || bpf_map_lookup_elem(&pods, &packet->receiver))
		return CONTINUE;
	destination = find_in_cluster(&packet->receiver);
	if (destination && !(chained && destination->kind != CLUSTER_STACK))
		return CONTINUE;
	return DROP_TUNNEL_PORT;
}

static __always_inline bool opens_connection(const struct packet *packet)
{
	return packet->flow.protocol == IPPROTO_TCP && !packet->is_icmp_error && !packet->is_later_fragment &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/*
 * Does the flow's mapping still count? Not if it has expired, belonged to a pod that had the address before, or is closed when a
 * new connection starts.
 */
static __always_inline bool is_current(const struct mapping *mapping, const struct packet *packet,
				       const struct journey *journey)
{
	return !is_expired(mapping, packet->flow.protocol, journey->now) &&
	       mapping->created_ns >= journey->pod->since_ns &&
	       !(opens_connection(packet) && mapping->state & (STATE_FIN_EITHER | STATE_RESET));
}

/* Deletes a mapping that does not count any more, so that the flow starts anew by today's policy. Fills in `mapping`. */
static __noinline enum verdict find_flow(const struct packet *packet, struct journey *journey)
{
	struct mapping *mapping;

	if (packet->untranslatable)
		return CONTINUE;
	note_fragment(packet);
	mapping = bpf_map_lookup_elem(&mappings, &packet->flow);
	if (!mapping || mapping->reclaimed)
		return CONTINUE;
	if (is_current(mapping, packet, journey))
		journey->mapping = mapping;
	else
		delete_stale_mapping(mapping, &packet->flow);
	return CONTINUE;
}

/* ---- a new flow ---- */

/*
 * Pods, nodes and Services of the cluster: no policy applies to them, and nothing is translated. The hop limit stays as it
 * is, because neighbour discovery tells a neighbour by it: another pod would take the sender for the router.
 */
static __noinline enum verdict send_within_cluster(struct __sk_buff *skb, struct packet *packet)
{
	struct cluster_destination *destination;
	struct address node;
	struct pod *pod = bpf_map_lookup_elem(&pods, &packet->receiver);

	if (pod && chained)
		return PASS_TO_STACK;
	if (pod)
		return packet->is_of_link ? DROP_UNSUPPORTED_PROTOCOL : send_to_pod(skb, packet, pod);
	destination = find_in_cluster(&packet->receiver);
	if (!destination)
		return CONTINUE;
	if (destination->kind == CLUSTER_HOST)
		return PASS_TO_HOST;
	if (chained || destination->kind != CLUSTER_NODE)
		return PASS_TO_STACK;
	if (packet->is_of_link)
		return DROP_UNSUPPORTED_PROTOCOL;
	node = destination->node;
	return send_to_node(skb, packet, &node, TUNNEL_POD, SENT_TO_NODE);
}

static __noinline enum verdict pass_inbound_reply(const struct packet *packet, const struct journey *journey)
{
	if (packet->untranslatable || !is_inbound_reply(packet, journey->pod, journey->now))
		return CONTINUE;
	return PASS_REPLY;
}

/* What no policy selects is left to the other CNI plugin, if there is one. Fills in `rule`. */
static __noinline enum verdict find_policy(const struct packet *packet, struct journey *journey)
{
	journey->rule = find_selecting_rule(journey->pod->policy_set, &packet->receiver);
	return chained && !journey->rule ? PASS_NOT_SELECTED : CONTINUE;
}

/*
 * Replies, and the rest of a connection that has no mapping here, must not open a flow. They may belong to a connection that
 * came from outside, and its far end would get packets from a stranger.
 */
static __noinline enum verdict check_opening(const struct packet *packet, const struct journey *journey)
{
	__u8 protocol = packet->flow.protocol;
	bool may_open = true;

	if (packet->untranslatable)
		return packet->untranslatable;
	if (packet->is_icmp_error || packet->is_later_fragment)
		may_open = false;
	else if (protocol == IPPROTO_TCP)
		may_open = opens_connection(packet);
	else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		may_open = packet->is_request;
	return may_open ? CONTINUE : DROP_NO_MAPPING;
}

static __noinline enum verdict choose_own_address(const struct packet *packet, struct address *egress_ip)
{
	struct self *own = this_node();

	if (!own || !(packet->family == 4 ? own->has_masquerade4 : own->has_masquerade6))
		return DROP_NO_EGRESS_IP;
	*egress_ip = packet->family == 4 ? own->masquerade4 : own->masquerade6;
	return CONTINUE;
}

static __noinline enum verdict choose_address(const struct packet *packet, const struct journey *journey,
					      struct address *egress_ip)
{
	const struct rule *rule = journey->rule;

	if (!rule)
		return choose_own_address(packet, egress_ip);
	if (rule->action == RULE_EGRESS)
		return choose_egress_ip(rule->group, journey->now, egress_ip);
	return rule->verdict >= DROP_MALFORMED && rule->verdict < VERDICTS ? rule->verdict : DROP_POLICY_INVALID;
}

static __noinline enum verdict make_flow(const struct packet *packet, const struct journey *journey)
{
	enum pool_purpose purpose = journey->rule ? POOL_EGRESS : POOL_MASQUERADE;
	__u64 policy = journey->rule ? journey->rule->policy : 0;
	struct address egress_ip = {};
	enum verdict verdict;

	verdict = choose_address(packet, journey, &egress_ip) ?:
		  make_mapping(&packet->flow, &egress_ip, policy, purpose, journey->now);
	return verdict == CONTINUE ? CONTINUE : refuse_flow(policy, &egress_ip, verdict);
}

/* Another CPU may have deleted the mapping since it was made. Fills in `mapping`. */
static __noinline enum verdict find_new_mapping(const struct packet *packet, struct journey *journey)
{
	struct mapping *mapping = bpf_map_lookup_elem(&mappings, &packet->flow);

	if (!mapping || mapping->reclaimed)
		return DROP_NO_MAPPING;
	journey->mapping = mapping;
	return CONTINUE;
}

static __always_inline enum verdict open_flow(struct __sk_buff *skb, struct packet *packet, struct journey *journey)
{
	if (journey->mapping)
		return CONTINUE;
	return send_within_cluster(skb, packet) ?:
	       pass_inbound_reply(packet, journey) ?:
	       find_policy(packet, journey) ?:
	       check_opening(packet, journey) ?:
	       make_flow(packet, journey) ?:
	       find_new_mapping(packet, journey);
}

/* ---- every packet of a flow ---- */

enum way_kind {
	WAY_WORLD = 1,	/* this node is the holder: out by the kernel's routes */
	WAY_HOLDER,	/* through the tunnel to the holder */
	WAY_BACK,	/* this node is the holder, and another pod has the port that the packet is for (hairpinning) */
};

/* How a packet leaves: decided from the mapping at one time, because another CPU may delete that meanwhile. */
struct way {
	__u32 kind;		/* enum way_kind */
	__u32 is_masqueraded;
	struct rewrite rewrite;
	struct address holder;	/* of WAY_HOLDER */
	struct way_out out;	/* of WAY_WORLD */
};

static __always_inline void read_mapping(struct way *way, const struct packet *packet, const struct mapping *mapping)
{
	way->is_masqueraded = mapping->masqueraded;
	way->rewrite.from = packet->sender;
	way->rewrite.to = mapping->egress_ip;
	way->rewrite.from_port = packet->flow.source_port;
	way->rewrite.to_port = mapping->egress_port;
	way->rewrite.side = SIDE_SOURCE;
}

/* The holder may change from packet to packet; the egress IP does not. Fills in `way`. */
static __noinline enum verdict choose_way(struct __sk_buff *skb, struct packet *packet, const struct journey *journey,
					  struct way *way)
{
	enum holder holder = HOLDER_SELF;
	enum verdict verdict;

	read_mapping(way, packet, journey->mapping);
	if (!way->is_masqueraded)
		holder = find_holder(&way->rewrite.to, journey->now, &way->holder);
	if (holder == HOLDER_NONE)
		return DROP_NO_LIVE_GATEWAY;
	way->kind = WAY_HOLDER;
	if (holder == HOLDER_OTHER)
		return CONTINUE;
	way->kind = WAY_WORLD;
	verdict = find_way_out(skb, packet, &way->rewrite.to, &way->out);
	if (verdict != DROP_NO_ROUTE || find_owner(packet) == NO_SLOT)
		return verdict;
	way->kind = WAY_BACK;
	return CONTINUE;
}

/* Tells the sender of a packet that is too big for its way. `verdict` is what choose_way() says. */
static __always_inline enum verdict fit_way(struct __sk_buff *skb, struct packet *packet, const struct way *way,
				       enum verdict verdict)
{
	struct self *own = this_node();

	if (is_answered(packet, verdict))
		return answer_too_big(skb, packet, way->out.mtu ?: SMALLEST_MTU);
	if (verdict != CONTINUE || way->kind == WAY_WORLD)
		return verdict;
	if (!own)
		return DROP_INTERNAL;
	return is_too_big(skb, packet, own->tunnel_mtu) ? answer_too_big(skb, packet, own->tunnel_mtu) : CONTINUE;
}

/* Whichever way a packet goes, replies to an egress IP come through the tunnel. */
static __always_inline void clamp_outward(struct __sk_buff *skb, const struct packet *packet, const struct way *way)
{
	struct self *own = this_node();

	if (way->kind == WAY_WORLD)
		clamp_mss(skb, packet, way->out.mtu);
	if (!way->is_masqueraded && own)
		clamp_mss(skb, packet, own->tunnel_mtu);
}

static __noinline enum verdict translate(struct __sk_buff *skb, struct packet *packet, const struct journey *journey,
					 const struct way *way)
{
	track_outward(journey->mapping, packet, skb->len, journey->now);
	clamp_outward(skb, packet, way);
	return rewrite_packet(skb, packet, &way->rewrite);
}

/* What turns back goes on as the world would have sent it. */
static __always_inline enum verdict turn_back(struct packet *packet, const struct rewrite *rewrite)
{
	packet->sender = rewrite->to;
	packet->flow.source = rewrite->to;
	packet->flow.source_port = rewrite->to_port;
	return CONTINUE;
}

static __always_inline enum verdict take_way(struct __sk_buff *skb, struct packet *packet, const struct way *way)
{
	if (way->kind == WAY_HOLDER)
		return send_to_node(skb, packet, &way->holder, TUNNEL_OUTWARD, SENT_TO_HOLDER);
	if (way->kind == WAY_BACK)
		return turn_back(packet, &way->rewrite);
	return send_to_world(skb, packet, &way->out, way->is_masqueraded ? SENT_TO_WORLD_MASQUERADED : SENT_TO_WORLD);
}

static __noinline enum verdict translate_outward(struct __sk_buff *skb, struct packet *packet, struct journey *journey)
{
	struct way way = {};

	return fit_way(skb, packet, &way, choose_way(skb, packet, journey, &way)) ?:
	       translate(skb, packet, journey, &way) ?:
	       take_way(skb, packet, &way);
}

#endif

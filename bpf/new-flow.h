/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stage of from_pod: it decides where a packet without a flow goes
 *
 * To the cluster, to the stack, or to the world from the address that the pod's policy set gives it.
 */
#ifndef SALLYPORT_NEW_FLOW_H
#define SALLYPORT_NEW_FLOW_H

/* May a flow own the packet's destination port? Then the holder sends the packet back to that flow's pod (hairpinning). */
static __always_inline bool is_for_flow(const struct cluster_destination *destination, const struct packet *packet)
{
	return destination->carries_flows && !is_nobodys(find_owner(packet));
}

/* No mapping tells a new flow from an open one here, so each packet is checked, unless the far end has sent something before. */
static __noinline enum verdict pass_routed(const struct packet *packet, const struct journey *journey)
{
	if (may_send(journey->pod->network_set, &packet->flow) ||
	    is_inbound_reply(packet, journey->pod, journey->now))
		return PASS_TO_STACK;
	return DROP_NETWORK_POLICY;
}

/* A Service has the address, but not the port. Its address may be missing in `cluster`, because a setting says which range it is in. */
static __noinline bool is_address_of_service(const struct packet *packet)
{
	struct service_key key;

	fill_service_key(&key, &packet->receiver, 0, 0);
	return bpf_map_lookup_elem(&services, &key);
}

/*
 * Sends a packet to a pod, a node or a Service of the cluster. No policy applies to these destinations, and the program does
 * not translate the packet. Beside kube-proxy, the stack forwards all such packets: those for pods into the tunnel, those for
 * nodes through to_world, which puts them into the tunnel. The program does not change the hop limit, because a pod that gets a
 * neighbour discovery message with a hop limit of 255 takes its sender for a neighbour.
 */
static __noinline enum verdict send_within_cluster(struct __sk_buff *skb, struct packet *packet,
						 const struct journey *journey)
{
	struct cluster_destination *destination;
	struct address node;
	struct pod *pod = bpf_map_lookup_elem(&pods, &packet->receiver);
	enum verdict verdict;

	if (pod && chained)
		return PASS_TO_STACK;
	if (pod && packet->is_of_link)
		return DROP_UNSUPPORTED_PROTOCOL;
	if (pod)
		return services_by_stack ? PASS_TO_STACK : deliver_to_pod(skb, packet, pod);
	destination = find_in_cluster(&packet->receiver);
	if (replaces_kube_proxy && !(destination && destination->kind == CLUSTER_PODS)) {
		verdict = reply_to_client(skb, packet, journey->pod);
		if (verdict != CONTINUE)
			return verdict;
	}
	if (replaces_kube_proxy && (!destination || destination->kind == CLUSTER_STACK) && is_address_of_service(packet))
		return refuse_port_of_service(skb, packet);
	if (!destination || is_for_flow(destination, packet))
		return CONTINUE;
	if (destination->kind == CLUSTER_HOST)
		return PASS_TO_HOST;
	if (destination->kind == CLUSTER_ROUTED)
		return pass_routed(packet, journey);
	if (chained || destination->kind == CLUSTER_STACK)
		return PASS_TO_STACK;
	if (packet->is_of_link)
		return DROP_UNSUPPORTED_PROTOCOL;
	if (services_by_stack && !packet->is_leaving)
		return PASS_TO_STACK;
	node = destination->node;
	return send_to_node(skb, packet, &node, TUNNEL_POD, SENT_TO_NODE);
}

static __noinline enum verdict pass_inbound_reply(const struct packet *packet, const struct journey *journey)
{
	if (packet->untranslatable || !is_inbound_reply(packet, journey->pod, journey->now))
		return CONTINUE;
	return PASS_REPLY;
}

/*
 * Finds the rule of the pod's policy set for the destination. In chained mode, the program leaves packets that no policy
 * selects to the other CNI plugin. No policy selects link-local and loopback destinations. A multicast packet with a TTL of 1
 * stays on the link. One with a larger TTL is dropped if a policy selects it, because a multicast router on this node could
 * forward it with another address. Fills in `rule`.
 */
static __noinline enum verdict find_policy(const struct packet *packet, struct journey *journey)
{
	bool is_for_many = is_multicast(&packet->receiver);

	if (is_for_many && packet->ttl <= 1)
		return PASS_LINK_LOCAL;
	if (!is_near(&packet->receiver))
		journey->rule = find_selecting_rule(journey->pod->policy_set, &packet->receiver);
	if (chained && !journey->rule)
		return PASS_NOT_SELECTED;
	return is_for_many ? DROP_MULTICAST : CONTINUE;
}

/*
 * Only a packet that starts a connection opens a flow. A reply, or a later packet of a connection without a mapping, may
 * belong to a connection that came from outside. Its far end would get packets from an address that it does not know.
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

	verdict = check_network_policies(packet, journey->pod) ?:
		  choose_address(packet, journey, &egress_ip) ?:
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
	return send_within_cluster(skb, packet, journey) ?:
	       pass_inbound_reply(packet, journey) ?:
	       find_policy(packet, journey) ?:
	       check_opening(packet, journey) ?:
	       make_flow(packet, journey) ?:
	       find_new_mapping(packet, journey);
}

#endif

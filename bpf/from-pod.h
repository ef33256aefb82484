/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stages of from_pod: a packet that leaves a pod of this node
 *
 * An established flow keeps its egress IP, even if policies have changed. Where a new flow goes, to the cluster, to the stack or
 * to the world, depends on its destination and on the pod's policy set.
 */
#ifndef SALLYPORT_FROM_POD_H
#define SALLYPORT_FROM_POD_H

/* What the stages learn about a packet. Each says which of these it fills in. */
struct journey {
	__u64 now;			/* of the last tick, while the flow has a mapping */
	struct pod *pod;
	struct mapping *mapping;	/* NULL: the flow is new, or the packet cannot be translated */
	struct rule *rule;		/* of a new flow; NULL: no policy selects it */
	__be16 endpoint_port;		/* the pod sent the packet to a Service, and it goes to this port of an endpoint; 0: it did not */
};

static __always_inline enum verdict read_from_pod(struct __sk_buff *skb, struct packet *packet)
{
	return skb->vlan_present ? DROP_VLAN : parse_any(skb, packet);
}

/*
 * From other addresses of the node than the client's come only answers of its processes to its processes (turn_to_itself). From addresses
 * outside the cluster come only packets for which from_world has noted an endpoint (send_outside). NULL: the packet is neither.
 */
static __noinline struct pod *find_node(const struct packet *packet)
{
	struct node_client *client = find_node_client(packet->family);
	bool is_known;

	if (!client)
		return NULL;
	if (same_address(&packet->receiver, &client->turned))
		is_known = is_address_of_this_node(&packet->sender);
	else
		is_known = bpf_map_lookup_elem(&service_flows, &packet->flow);
	return is_known ? bpf_map_lookup_elem(&pods, &client->address) : NULL;
}

/* A device belongs to one pod, which may send only from its own address. Fills in `pod`. */
static __always_inline enum verdict identify_pod(struct __sk_buff *skb, const struct packet *packet,
						 struct journey *journey)
{
	struct pod *pod = bpf_map_lookup_elem(&pods, &packet->sender);

	if (!pod && replaces_kube_proxy)
		pod = find_node(packet);
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
 * A node accepts a tunnel packet by the address of the node that sent it. A pod's datagram to the tunnel's port may get the
 * address of its own node, from this program or from the other CNI plugin, and would be accepted. Pods may run a tunnel
 * among themselves: the datagram then keeps the pod's address, which no node accepts.
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
 * Does the mapping belong to the packet's flow? It does not if it has expired, if another pod had the address when it was
 * made, or if it is closed and the packet opens a new connection.
 */
static __always_inline bool is_current(const struct mapping *mapping, const struct packet *packet,
				       const struct journey *journey)
{
	return !is_expired(mapping, &packet->flow, journey->now) &&
	       mapping->created_ns >= journey->pod->since_ns &&
	       !(opens_connection(packet) && mapping->state & (STATE_FIN_EITHER | STATE_RESET));
}

/* NULL: the flow is new, or the packet cannot be translated. Deletes a stale mapping, so that the current policy decides again. */
static __always_inline struct mapping *find_mapping(const struct packet *packet, const struct journey *journey)
{
	struct mapping *mapping;

	if (packet->untranslatable)
		return NULL;
	note_fragment(packet);
	mapping = bpf_map_lookup_elem(&mappings, &packet->flow);
	if (!mapping || mapping->reclaimed)
		return NULL;
	if (!is_current(mapping, packet, journey)) {
		delete_stale_mapping(mapping, &packet->flow);
		return NULL;
	}
	/* The pod may send to an endpoint itself after it has sent there through a Service. */
	if (services_by_stack && mapping->through_stack && !packet->is_leaving)
		mapping->through_stack = 0;
	return mapping;
}

/* Fills in `mapping`. A new flow needs the exact time, and few packets begin one. */
static __noinline enum verdict find_flow(const struct packet *packet, struct journey *journey)
{
	journey->mapping = find_mapping(packet, journey);
	if (!journey->mapping)
		journey->now = now_ns();
	return CONTINUE;
}

#endif

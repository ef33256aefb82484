/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stages of from_pod: a packet to a Service that leads out of the cluster gets an endpoint as its destination
 */
#ifndef SALLYPORT_ENTER_SERVICE_H
#define SALLYPORT_ENTER_SERVICE_H

/* With session affinity, all connections of a pod go to the same endpoint. */
static __always_inline __u32 first_choice(const struct service *service, const struct packet *packet)
{
	return service->by_client ? bpf_ntohl(packet->sender.words[3]) * 2654435761U >> 8 : random_u32();
}

/* May the packet go to another endpoint than the one before? A connection may not; a datagram may if its endpoint is gone. */
static __always_inline bool may_choose(const struct packet *packet)
{
	if (packet->is_icmp_error || packet->is_later_fragment)
		return false;
	return packet->flow.protocol == IPPROTO_UDP || opens_connection(packet);
}

/*
 * Which endpoint the packet's flow has. `endpoint->port` is 0 if the packet is not for a Service, or for one whose endpoints
 * no policy selects. kube-proxy keeps the connections that were open before a policy selected them.
 */
static __noinline enum verdict find_endpoint(const struct packet *packet, const struct journey *journey,
					     struct endpoint *endpoint)
{
	struct service_key key;
	struct service *service;
	struct endpoint *known;

	fill_service_key(&key, &packet->flow.destination, packet->flow.destination_port, packet->flow.protocol);
	service = bpf_map_lookup_elem(&services, &key);
	if (!service)
		return CONTINUE;
	known = bpf_map_lookup_elem(&service_flows, &packet->flow);
	if (known)
		*endpoint = *known;
	if (known && !may_choose(packet))
		return CONTINUE;
	if (!known && is_inbound_reply(packet, journey->pod, journey->now))
		return PASS_REPLY;
	choose_endpoint(&key, journey->pod->policy_set, first_choice(service, packet), endpoint);
	return endpoint->port && !may_choose(packet) ? DROP_NO_MAPPING : CONTINUE;
}

/* Most packets find both entries as they are. */
static __always_inline long note_in(void *map, const struct flow_key *flow, const struct endpoint *endpoint)
{
	struct endpoint *known = bpf_map_lookup_elem(map, flow);

	return known && same_endpoint(known, endpoint) ? 0 : bpf_map_update_elem(map, flow, endpoint, BPF_ANY);
}

/* Notes the flow in both directions, and translates the destination. */
static __noinline enum verdict translate_to_endpoint(struct __sk_buff *skb, struct packet *packet,
						     const struct endpoint *endpoint)
{
	struct endpoint service = { .address = packet->flow.destination, .port = packet->flow.destination_port };
	struct rewrite rewrite = {
		.from = packet->flow.destination,
		.to = endpoint->address,
		.from_port = packet->flow.destination_port,
		.to_port = endpoint->port,
		.side = SIDE_DESTINATION,
	};

	if (note_in(&service_flows, &packet->flow, endpoint))
		return DROP_TABLE_FULL;
	if (rewrite_packet(skb, packet, &rewrite) != CONTINUE)
		return DROP_INTERNAL;
	packet->flow.destination = endpoint->address;
	packet->flow.destination_port = endpoint->port;
	packet->receiver = endpoint->address;
	return note_in(&service_replies, &packet->flow, &service) ? DROP_TABLE_FULL : CONTINUE;
}

/* kube-proxy translates SCTP, too. A Service that has a port of it has an entry for all that cannot be translated here. */
__noinline enum verdict refuse_untranslatable(const struct packet *packet, __u64 policy_set)
{
	struct endpoint endpoint = {};
	struct service_key key;

	if (!packet)
		return DROP_INTERNAL;
	fill_service_key(&key, &packet->receiver, 0, 0);
	choose_endpoint(&key, policy_set, 0, &endpoint);
	return endpoint.port ? packet->untranslatable : CONTINUE;
}

static __noinline enum verdict enter_service(struct __sk_buff *skb, struct packet *packet, struct journey *journey)
{
	struct endpoint endpoint = {};
	enum verdict verdict;

	if (packet->untranslatable)
		return refuse_untranslatable(packet, journey->pod->policy_set);
	verdict = find_endpoint(packet, journey, &endpoint);
	journey->endpoint_port = endpoint.port;
	if (verdict != CONTINUE || !endpoint.port)
		return verdict;
	return translate_to_endpoint(skb, packet, &endpoint);
}

/* If no flow has the packet, a Service may. Then the flow to the endpoint is looked up. Fills in `endpoint_port` and `mapping`. */
static __always_inline enum verdict take_service(struct __sk_buff *skb, struct packet *packet, struct journey *journey)
{
	if (!chained || journey->mapping || !journey->pod->policy_set)
		return CONTINUE;
	return enter_service(skb, packet, journey) ?:
	       journey->endpoint_port ? find_flow(packet, journey) : CONTINUE;
}

/*
 * Before the packet leaves, and so before any reply. A pod may send to an endpoint itself after it has sent there through a
 * Service.
 */
static __always_inline enum verdict note_service(const struct journey *journey)
{
	if (chained)
		journey->mapping->through_service = journey->endpoint_port > 0;
	return CONTINUE;
}

#endif

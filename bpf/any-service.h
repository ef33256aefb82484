/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stand-alone without kube-proxy, a stage of from_pod: a packet to a Service gets an endpoint
 *
 * The choice depends on the flow alone. So a flow that `service_flows` has forgotten finds the same endpoint again, unless the
 * Service's endpoints have changed since. With session affinity, it depends on what the client chose before.
 */
#ifndef SALLYPORT_ANY_SERVICE_H
#define SALLYPORT_ANY_SERVICE_H

static __always_inline __u32 mix(__u32 digest, __u32 word)
{
	digest = (digest ^ word) * 0x9e3779b1U;
	return digest ^ digest >> 15;
}

static __always_inline __u32 digest_of_flow(const struct flow_key *flow)
{
	__u32 digest = mix(flow->protocol, (__u32)flow->source_port << 16 | flow->destination_port);

	for (int i = 0; i < 4; i++)
		digest = mix(mix(digest, flow->source.words[i]), flow->destination.words[i]);
	return mix(digest, digest >> 16);
}

/* Does the flow keep its endpoint? A connection does until it ends, a datagram as long as the Service has the endpoint. */
static __noinline bool keeps_endpoint(const struct packet *packet, const struct service_key *service,
				      const struct endpoint *endpoint)
{
	struct service_member *member;

	if (!may_choose(packet))
		return true;
	member = find_member(service, endpoint);
	return member && (member->takes_new || !opens_connection(packet));
}

/* The endpoint of the client's last flow, if that was not too long ago. */
static __noinline bool find_affine(const struct affinity_key *key, __u64 affinity_ns, __u64 now, struct endpoint *endpoint)
{
	struct affinity *last = bpf_map_lookup_elem(&affinities, key);
	struct service_member *member;

	if (!last || last->last_ns + affinity_ns < now)
		return false;
	*endpoint = last->endpoint;
	member = find_member(&key->service, endpoint);
	return member && member->takes_new;
}

/* While the agent writes a change, the last place may be empty. The first never is. */
static __noinline bool take_place(const struct service_key *service, __u32 place, struct endpoint *endpoint)
{
	struct endpoint *found = endpoint_at(service, place) ?: endpoint_at(service, 0);

	if (!found)
		return false;
	*endpoint = *found;
	return true;
}

/*
 * Has the client a flow with the same ports to the endpoint, through another address? `service_replies` has room for one of the two. The entry
 * may be of a flow that is long closed, because nothing ends it.
 */
static __noinline bool is_of_other_flow(const struct packet *packet, const struct endpoint *endpoint)
{
	struct flow_key flow = packet->flow;
	struct endpoint *known;

	flow.destination = endpoint->address;
	flow.destination_port = endpoint->port;
	known = bpf_map_lookup_elem(&service_replies, &flow);
	return known && !(known->port == packet->flow.destination_port &&
			  same_address(&known->address, &packet->flow.destination));
}

/* A few tries find an endpoint without such a flow, unless the Service has too few. Then the earlier flow ends. */
enum { PLACE_TRIES = 4 };

static __noinline bool take_free_place(const struct packet *packet, const struct service_key *key,
				       const struct service *service, struct endpoint *endpoint)
{
	__u32 first = digest_of_flow(&packet->flow) % service->count;

	for (__u32 i = 0; i < PLACE_TRIES && i < service->count; i++) {
		if (!take_place(key, (first + i) % service->count, endpoint))
			return false;
		if (!is_of_other_flow(packet, endpoint))
			return true;
	}
	return take_place(key, first, endpoint);
}

static __noinline bool choose_endpoint(const struct packet *packet, const struct service_key *key,
				       const struct service *service, struct endpoint *endpoint)
{
	struct affinity_key client = { .service = *key, .client = packet->sender };
	struct affinity affinity = { .last_ns = service->affinity_ns ? now_ns() : 0 };

	if (!service->affinity_ns)
		return take_free_place(packet, key, service, endpoint);
	if (!find_affine(&client, service->affinity_ns, affinity.last_ns, endpoint) &&
	    !take_free_place(packet, key, service, endpoint))
		return false;
	affinity.endpoint = *endpoint;
	bpf_map_update_elem(&affinities, &client, &affinity, BPF_ANY);
	return true;
}

/* May the client use the Service? For a process of the node, call_service() has decided by the process's own address. */
static __noinline bool admits_client(const struct service_key *key, const struct packet *packet)
{
	struct node_client *node = find_node_client(packet->family);

	return (node && same_address(&node->address, &packet->flow.source)) || admits(key, &packet->flow.source);
}

/*
 * Which endpoint the packet's flow has. `endpoint->port` stays 0 if the packet is not for a Service. SENT_REFUSAL: the Service
 * has no endpoint.
 */
__noinline enum verdict find_endpoint(const struct packet *packet, struct endpoint *endpoint)
{
	struct service *service;
	struct service_key key;
	struct endpoint *known;
	struct flow_key flow;

	if (!packet || !endpoint)
		return DROP_INTERNAL;
	flow = packet->flow;
	service = find_service(&flow.destination, flow.destination_port, flow.protocol, &key);
	if (!service)
		return CONTINUE;
	if (service->has_sources && !admits_client(&key, packet))
		return DROP_SOURCE_RANGES;
	known = bpf_map_lookup_elem(&service_flows, &flow);
	if (known && keeps_endpoint(packet, &key, known)) {
		*endpoint = *known;
		return CONTINUE;
	}
	if (packet->is_icmp_error)
		return DROP_NO_MAPPING;
	return service->count && choose_endpoint(packet, &key, service, endpoint) ? CONTINUE : SENT_REFUSAL;
}

/*
 * Is the endpoint where the packet comes from? For the node as a client, it is each of its processes. A client outside may be the endpoint,
 * but it gets the packet from this node.
 */
static __noinline bool is_itself(const struct packet *packet, const struct journey *journey, const struct endpoint *endpoint)
{
	return journey->pod->is_node ? is_address_of_this_node(&endpoint->address) :
				       same_address(&endpoint->address, &packet->sender);
}

/* How the answer, which the endpoint sends to `to`, finds the client. A pod's entry has its address, the node's has the Service's. */
static __noinline long note_answer(const struct packet *packet, const struct endpoint *endpoint, const struct address *to)
{
	const struct flow_key *flow = &packet->flow;
	bool is_of_node = !same_address(to, &flow->destination);
	struct endpoint way_back = {
		.address = is_of_node ? flow->destination : packet->sender,
		.port = flow->destination_port,
	};
	struct flow_key answer = {
		.source = endpoint->address,
		.destination = *to,
		.source_port = endpoint->port,
		.destination_port = flow->source_port,
		.protocol = flow->protocol,
	};
	long failed = note_in(&service_replies, &answer, &way_back);

	if (!is_of_node)
		return failed;
	/* A process that listens at all addresses answers a datagram from the source address of the route to `to`. */
	answer.source = packet->sender;
	return failed ?: note_in(&service_replies, &answer, &way_back);
}

/*
 * A pod calls a Service and gets itself as the endpoint, or the node does. A host drops a packet whose source is its own address. So this
 * replaces the source by `to`: the Service's address for a pod, an address that is routed into the device for Services for the node. The
 * endpoint sends its answer to `to`, and `service_replies` has the client for it.
 */
static __noinline enum verdict turn_to_itself(struct __sk_buff *skb, struct packet *packet, const struct endpoint *endpoint,
					      const struct address *to)
{
	struct flow_key *flow = &packet->flow;
	struct rewrite rewrite = {
		.from = flow->source,
		.to = *to,
		.from_port = flow->source_port,
		.to_port = flow->source_port,
		.side = SIDE_SOURCE,
	};

	if (note_in(&service_flows, flow, endpoint) || note_answer(packet, endpoint, to))
		return DROP_TABLE_FULL;
	if (rewrite_packet(skb, packet, &rewrite) != CONTINUE)
		return DROP_INTERNAL;
	rewrite.from = flow->destination;
	rewrite.to = endpoint->address;
	rewrite.from_port = flow->destination_port;
	rewrite.to_port = endpoint->port;
	rewrite.side = SIDE_DESTINATION;
	return rewrite_packet(skb, packet, &rewrite);
}

static __noinline enum verdict turn_to_client(struct __sk_buff *skb, struct packet *packet, const struct journey *journey,
					      const struct endpoint *endpoint)
{
	struct node_client *node = journey->pod->is_node ? find_node_client(packet->family) : NULL;

	return turn_to_itself(skb, packet, endpoint, node ? &node->turned : &packet->flow.destination) ?:
	       send_to_pod(skb, packet, journey->pod);
}

/* The answer to such a packet comes from the Service, and goes to the client. */
static __noinline enum verdict answer_itself(struct __sk_buff *skb, struct packet *packet, const struct address *client,
					     const struct endpoint *service)
{
	struct rewrite rewrite = {
		.from = packet->flow.destination,
		.to = *client,
		.from_port = packet->flow.destination_port,
		.to_port = packet->flow.destination_port,
		.side = SIDE_DESTINATION,
	};

	if (rewrite_packet(skb, packet, &rewrite) != CONTINUE)
		return DROP_INTERNAL;
	rewrite.from = packet->flow.source;
	rewrite.to = service->address;
	rewrite.from_port = packet->flow.source_port;
	rewrite.to_port = service->port;
	rewrite.side = SIDE_SOURCE;
	return rewrite_packet(skb, packet, &rewrite);
}

/* A process of the node answers another one. `known` is the Service. */
static __noinline enum verdict answer_process(struct __sk_buff *skb, struct packet *packet, const struct journey *journey,
					      const struct endpoint *known)
{
	struct node_client *node = find_node_client(packet->family);

	if (!node || !same_address(&packet->flow.destination, &node->turned))
		return CONTINUE;
	return answer_itself(skb, packet, &node->address, known) ?: send_to_pod(skb, packet, journey->pod);
}

static __noinline enum verdict answer_own_pod(struct __sk_buff *skb, struct packet *packet, const struct journey *journey,
					      const struct endpoint *known)
{
	struct endpoint service = { .address = packet->flow.destination, .port = known->port };

	return answer_itself(skb, packet, &known->address, &service) ?: send_to_pod(skb, packet, journey->pod);
}

/*
 * A packet that is not for a Service. If the pod opens a flow to an endpoint itself, with the ports of an earlier flow through a
 * Service, the replies are the endpoint's own.
 */
static __noinline enum verdict pass_services(struct __sk_buff *skb, struct packet *packet, const struct journey *journey)
{
	struct endpoint *known = bpf_map_lookup_elem(&service_replies, &packet->flow);
	enum verdict verdict;

	if (!known)
		return CONTINUE;
	if (journey->pod->is_node) {
		verdict = answer_process(skb, packet, journey, known);
		if (verdict != CONTINUE)
			return verdict;
	} else if (same_address(&known->address, &packet->sender)) {
		return answer_own_pod(skb, packet, journey, known);
	}
	if (may_choose(packet))
		bpf_map_delete_elem(&service_replies, &packet->flow);
	return CONTINUE;
}

static __noinline enum verdict enter_any_service(struct __sk_buff *skb, struct packet *packet, struct journey *journey)
{
	struct endpoint endpoint = {};
	enum verdict verdict;

	if (packet->untranslatable)
		return CONTINUE;
	verdict = find_endpoint(packet, &endpoint);
	if (verdict == SENT_REFUSAL)
		return refuse_port_of_service(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	if (!endpoint.port)
		return pass_services(skb, packet, journey);
	if (is_itself(packet, journey, &endpoint))
		return turn_to_client(skb, packet, journey, &endpoint);
	journey->endpoint_port = endpoint.port;
	return translate_to_endpoint(skb, packet, &endpoint);
}

#endif

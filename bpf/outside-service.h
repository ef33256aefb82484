/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Chained mode, a stage of from_pod: a packet to a Service that leads out of the cluster gets an endpoint that a policy selects
 */
#ifndef SALLYPORT_OUTSIDE_SERVICE_H
#define SALLYPORT_OUTSIDE_SERVICE_H

/*
 * An endpoint that the policy set selects: the one in `endpoint` if the Service still has it, else the next from `start` on.
 * `endpoint->port` becomes 0 if there is none.
 */
__noinline int choose_selected(const struct service_key *of, __u64 policy_set, __u32 start, struct endpoint *endpoint)
{
	struct service_key key = of ? *of : (struct service_key){};
	struct service *service = bpf_map_lookup_elem(&services, &key);
	struct endpoint before;
	__u32 count;

	if (!endpoint)
		return 0;
	before = *endpoint;
	endpoint->port = 0;
	count = service ? service->count : 0;
	if (count == 0)
		return 0;
	if (before.port && find_member(&key, &before) && find_selecting_rule(policy_set, &before.address)) {
		*endpoint = before;
		return 0;
	}
	for (__u32 i = 0; i < MAX_ENDPOINTS; i++) {
		struct endpoint *each = i < count ? endpoint_at(&key, (start + i) % count) : NULL;

		if (!each)
			break;
		if (!find_selecting_rule(policy_set, &each->address))
			continue;
		*endpoint = *each;
		break;
	}
	return 0;
}

/* With session affinity, all connections of a pod go to the same endpoint. */
static __always_inline __u32 first_choice(const struct service *service, const struct packet *packet)
{
	return service->affinity_ns ? bpf_ntohl(packet->sender.words[3]) * 2654435761U >> 8 : random_u32();
}

/*
 * Which endpoint the packet's flow has. `endpoint->port` is 0 if the packet is not for a Service, or for one whose endpoints
 * no policy selects. kube-proxy keeps the connections that were open before a policy selected them.
 */
static __noinline enum verdict find_outside_endpoint(const struct packet *packet, const struct journey *journey,
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
	choose_selected(&key, journey->pod->policy_set, first_choice(service, packet), endpoint);
	return endpoint->port && !may_choose(packet) ? DROP_NO_MAPPING : CONTINUE;
}

/* kube-proxy translates SCTP, too. A Service that has a port of it has an entry for all that cannot be translated here. */
__noinline enum verdict refuse_untranslatable(const struct packet *packet, __u64 policy_set)
{
	struct endpoint endpoint = {};
	struct service_key key;

	if (!packet)
		return DROP_INTERNAL;
	fill_service_key(&key, &packet->receiver, 0, 0);
	choose_selected(&key, policy_set, 0, &endpoint);
	return endpoint.port ? packet->untranslatable : CONTINUE;
}

static __noinline enum verdict enter_outside_service(struct __sk_buff *skb, struct packet *packet, struct journey *journey)
{
	struct endpoint endpoint = {};
	enum verdict verdict;

	if (packet->untranslatable)
		return refuse_untranslatable(packet, journey->pod->policy_set);
	verdict = find_outside_endpoint(packet, journey, &endpoint);
	journey->endpoint_port = endpoint.port;
	if (verdict != CONTINUE || !endpoint.port)
		return verdict;
	return translate_to_endpoint(skb, packet, &endpoint);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Services: their endpoints, and the flows that pods have opened through them
 *
 * from_pod translates the destination of a pod's packet from the Service to an endpoint. From there on the packet is one that
 * the pod sent to the endpoint: it goes to a pod, to a node, or out of the cluster by the pod's policies. Replies get the
 * Service's address back before they reach the pod.
 *
 *   stand-alone, replaces_kube_proxy   all Services
 *   chained                            those that lead out of the cluster to an endpoint that a policy of the pod selects.
 *                                      kube-proxy would translate them in the stack, and they would leave with the node's address.
 *
 * The state is kept on the client's node: `service_flows` has the endpoint of each flow, `service_replies` leads back.
 */
#ifndef SALLYPORT_SERVICE_H
#define SALLYPORT_SERVICE_H

/* Does the packet come from a Service in `services`? */
static __noinline bool is_from_service(const struct packet *packet)
{
	struct service_key key;

	fill_service_key(&key, &packet->flow.source, packet->flow.source_port, packet->flow.protocol);
	return bpf_map_lookup_elem(&services, &key);
}

static __always_inline bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && same_address(&a->address, &b->address);
}

/* Most packets find the entry as it is. */
static __always_inline long note_in(void *map, const struct flow_key *flow, const struct endpoint *endpoint)
{
	struct endpoint *known = bpf_map_lookup_elem(map, flow);

	return known && same_endpoint(known, endpoint) ? 0 : bpf_map_update_elem(map, flow, endpoint, BPF_ANY);
}

/*
 * How the reply to a flow gets the Service's address, to which the pod has sent. `flow` is the key of the mapping. Inlined,
 * because return_to_pod() has no room below it for another frame.
 */
static __always_inline enum verdict restore_service(struct rewrite *rewrite, const struct flow_key *flow)
{
	struct endpoint *service = bpf_map_lookup_elem(&service_replies, flow);

	if (!service)
		return DROP_NO_MAPPING;
	rewrite->from = flow->destination;
	rewrite->to = service->address;
	rewrite->from_port = flow->destination_port;
	rewrite->to_port = service->port;
	rewrite->side = SIDE_SOURCE;
	return CONTINUE;
}

/*
 * Without kube-proxy: a packet that is about to be delivered may be an endpoint's reply to a flow that was opened through a
 * Service. Then it gets the Service's address as its source.
 */
__noinline enum verdict restore_reply(struct __sk_buff *skb, const struct packet *packet)
{
	struct rewrite rewrite = {};
	struct flow_key opened;

	if (!packet)
		return DROP_INTERNAL;
	if (packet->untranslatable)
		return CONTINUE;
	reverse_flow(&opened, &packet->flow);
	if (restore_service(&rewrite, &opened) != CONTINUE)
		return CONTINUE;
	note_fragment(packet);
	return rewrite_packet(skb, packet, &rewrite);
}

/* Into a pod of this node, from a pod or a node of the cluster. */
static __always_inline enum verdict deliver_to_pod(struct __sk_buff *skb, struct packet *packet, const struct pod *pod)
{
	enum verdict verdict = replaces_kube_proxy ? restore_reply(skb, packet) : CONTINUE;

	return verdict ?: send_to_pod(skb, packet, pod);
}

#endif

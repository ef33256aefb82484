/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stand-alone without kube-proxy: a client outside the cluster calls a Service whose endpoint is outside, too
 *
 *   client ── from_world ── sallyport-svc ── from_pod ── endpoint      the entry node does both
 *   client ── from_world ── endpoint                                   the reply
 *
 * The endpoint would reply to the client past the entry node, and the client does not know the endpoint. So the packet leaves with the
 * address of the entry node, as a packet of a pod that no policy selects. No policy applies to clients outside.
 */
#ifndef SALLYPORT_CLIENT_OUTSIDE_H
#define SALLYPORT_CLIENT_OUTSIDE_H

/* To from_pod, which finds the endpoint in `service_flows`. The node's device stands for the client's. */
static __noinline enum verdict send_outside(struct __sk_buff *skb, struct packet *packet, const struct endpoint *endpoint)
{
	struct node_client *client = find_node_client(packet->family);
	struct pod *node = client ? bpf_map_lookup_elem(&pods, &client->address) : NULL;

	if (!node)
		return DROP_NO_ENDPOINT;
	if (note_in(&service_flows, &packet->flow, endpoint))
		return DROP_TABLE_FULL;
	note_fragment(packet);
	record_departure(DEPARTED_BY_DEVICE, node->ifindex);
	return bpf_redirect(node->ifindex, BPF_F_INGRESS) == TC_ACT_REDIRECT ? SENT_TO_ENDPOINT : DROP_INTERNAL;
}

static __always_inline enum verdict restore_client(struct __sk_buff *skb, struct packet *packet, const struct flow_key *flow)
{
	struct rewrite rewrite = {
		.from = packet->flow.destination,
		.to = flow->source,
		.from_port = packet->flow.destination_port,
		.to_port = flow->source_port,
		.side = SIDE_DESTINATION,
	};

	return rewrite_packet(skb, packet, &rewrite) ?:
	       restore_service(&rewrite, flow) ?:
	       rewrite_packet(skb, packet, &rewrite);
}

/* The client spoke to this node, and to the Service's address. */
static __noinline enum verdict find_way_to_client(struct __sk_buff *skb, struct packet *packet, const struct address *client,
						  const struct address *service, struct way_out *way)
{
	struct address own = packet->receiver;
	enum verdict verdict;

	packet->receiver = *client;
	verdict = find_way_out(skb, packet, service, device_of_egress_ip(service), way);
	packet->receiver = own;
	return verdict;
}

/* A stage of from_world, after return_to_pod() has found that the port is of no pod. */
static __noinline enum verdict return_to_client(struct __sk_buff *skb, struct packet *packet)
{
	struct flow_key key, flow = {};
	struct endpoint *service;
	struct way_out way = {};
	struct mapping *mapping;
	__u64 now = recent_ns();
	enum verdict verdict;

	reverse_flow(&key, &packet->flow);
	mapping = find_by_port(&key, &flow, now);
	service = bpf_map_lookup_elem(&service_replies, &flow);
	if (!mapping || !mapping->is_of_client || !service)
		return DROP_NOT_A_LOCAL_POD;
	verdict = find_way_to_client(skb, packet, &flow.source, &service->address, &way);
	if (expects_too_big(packet, verdict))
		return answer_too_big(skb, packet, way.mtu ?: SMALLEST_MTU);
	if (verdict != CONTINUE)
		return verdict;
	note_fragment(packet);
	track_inward(mapping, packet, &flow.source, skb->len, now);
	clamp_mss(skb, packet, way.mtu);
	return restore_client(skb, packet, &flow) ?: send_to_world(skb, packet, &way, SENT_TO_WORLD);
}

#endif

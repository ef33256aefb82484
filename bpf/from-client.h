/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stand-alone without kube-proxy: clients outside the cluster reach Services (docs/decisions/0028)
 *
 *   client ── from_world ── tunnel ── from_overlay ── endpoint      the entry node, then the endpoint's node
 *   client ── from_overlay ── tunnel ── from_pod ──── endpoint      the reply
 *
 * The entry node chooses an endpoint and leaves the packet as it is. The endpoint's node translates it and keeps the state, so the
 * endpoint sees its client. Both may be the same node. A server outside the cluster may be an endpoint, too: client-outside.h.
 */
#ifndef SALLYPORT_FROM_CLIENT_H
#define SALLYPORT_FROM_CLIENT_H

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_CLIENT_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct endpoint);
} client_flows SEC(".maps");

/*
 * A packet is about to be delivered that no Service has. If it opens a flow to an endpoint itself, with the ports of an earlier flow
 * through a Service, the replies are the endpoint's own.
 */
static __noinline void forget_client(const struct packet *packet)
{
	struct flow_key reply;

	if (!may_choose(packet))
		return;
	reverse_flow(&reply, &packet->flow);
	if (bpf_map_lookup_elem(&client_replies, &reply))
		bpf_map_delete_elem(&client_replies, &reply);
}

/* ---- the client's packets ---- */

static __always_inline bool is_of_this_node(const struct endpoint *endpoint)
{
	return bpf_map_lookup_elem(&pods, &endpoint->address) || is_address_of_this_node(&endpoint->address);
}

/* With session affinity, all flows of a client have the same endpoint. */
static __always_inline __u32 digest_of_client(const struct flow_key *flow, const struct service *service)
{
	struct flow_key client = { .source = flow->source };

	return digest_of_flow(service->affinity_ns ? &client : flow);
}

/*
 * An endpoint for a client's packet. A flow keeps its endpoint. `of_this_node`: only endpoints of this node count, because the entry node
 * has chosen this node. The choice among them must not depend on that choice, so it uses a second digest. `endpoint->port` stays 0 if
 * the packet is for no Service that clients outside reach. SENT_REFUSAL: no node has an endpoint.
 */
__noinline enum verdict find_endpoint_for_client(const struct packet *packet, __u32 of_this_node, struct endpoint *endpoint)
{
	struct service *service;
	struct service_key key;
	struct endpoint *known;
	struct flow_key flow;
	bool is_local;
	__u32 place;

	if (!packet || !endpoint)
		return DROP_INTERNAL;
	flow = packet->flow;
	service = find_service(&flow.destination, flow.destination_port, flow.protocol, &key);
	if (!service || service->clients == CLIENTS_NONE)
		return CONTINUE;
	if (service->has_sources && !admits(&key, &flow.source))
		return DROP_SOURCE_RANGES;
	known = bpf_map_lookup_elem(&client_flows, &flow);
	if (known && keeps_endpoint(packet, &key, known) && (!of_this_node || is_of_this_node(known))) {
		*endpoint = *known;
		return CONTINUE;
	}
	if (packet->is_icmp_error)
		return DROP_NO_MAPPING;
	place = digest_of_client(&flow, service);
	is_local = of_this_node || service->clients != CLIENTS_ANY_NODE;
	if (!is_local && service->count)
		return take_place(&key, place % service->count, endpoint) ? CONTINUE : DROP_NO_ENDPOINT;
	if (!is_local || !service->local_count)
		return of_this_node || service->count ? DROP_NO_ENDPOINT : SENT_REFUSAL;
	place = LOCAL_PLACES + mix(place, LOCAL_PLACES) % service->local_count;
	return take_place(&key, place, endpoint) ? CONTINUE : DROP_NO_ENDPOINT;
}

/* How the endpoint's reply gets back. An ICMP error of a router shows nothing new. */
static __noinline enum verdict note_client(const struct packet *packet, const struct endpoint *endpoint,
					   const struct address *entry)
{
	struct flow_key key = {
		.source = endpoint->address,
		.destination = packet->flow.source,
		.source_port = endpoint->port,
		.destination_port = packet->flow.source_port,
		.protocol = packet->flow.protocol,
	};
	struct client_reply reply = {
		.service = { .address = packet->flow.destination, .port = packet->flow.destination_port },
		.entry = *entry,
		.last_ns = now_ns(),
	};
	struct client_reply *known = bpf_map_lookup_elem(&client_replies, &key);

	if (packet->is_icmp_error)
		return CONTINUE;
	if (known && same_endpoint(&known->service, &reply.service) && same_address(&known->entry, entry)) {
		known->last_ns = reply.last_ns;
		return CONTINUE;
	}
	return bpf_map_update_elem(&client_replies, &key, &reply, BPF_ANY) ? DROP_TABLE_FULL : CONTINUE;
}

/* The reply may come through the tunnel, whatever way the packet came. `pod`: NULL if the endpoint is a process of this node. */
static __noinline enum verdict deliver_to_endpoint(struct __sk_buff *skb, struct packet *packet,
						   const struct endpoint *endpoint, const struct pod *pod)
{
	struct rewrite rewrite = {
		.from = packet->flow.destination,
		.to = endpoint->address,
		.from_port = packet->flow.destination_port,
		.to_port = endpoint->port,
		.side = SIDE_DESTINATION,
	};
	struct self *own = this_node();

	if (!own)
		return DROP_INTERNAL;
	note_fragment(packet);
	clamp_mss(skb, packet, own->tunnel_mtu);
	if (rewrite_packet(skb, packet, &rewrite) != CONTINUE)
		return DROP_INTERNAL;
	if (pod)
		return send_to_pod(skb, packet, pod);
	pass_to_stack(skb);
	return PASS_TO_HOST;
}

static __noinline enum verdict send_to_endpoint(struct __sk_buff *skb, struct packet *packet,
						const struct endpoint *endpoint, const struct self *own)
{
	struct pod *pod = bpf_map_lookup_elem(&pods, &endpoint->address);
	struct cluster_destination *destination = pod ? NULL : find_in_cluster(&endpoint->address);

	if (pod || (destination && destination->kind == CLUSTER_HOST))
		return note_client(packet, endpoint, &own->tunnel_address) ?:
		       deliver_to_endpoint(skb, packet, endpoint, pod);
	if (!destination || destination->kind == CLUSTER_ROUTED)
		return send_outside(skb, packet, endpoint);
	if (destination->kind != CLUSTER_PODS && destination->kind != CLUSTER_NODE)
		return DROP_NO_ENDPOINT;
	if (is_too_big(skb, packet, own->tunnel_mtu))
		return answer_too_big(skb, packet, own->tunnel_mtu);
	note_fragment(packet);
	return send_to_node(skb, packet, &destination->node, TUNNEL_SERVICE, SENT_TO_ENDPOINT);
}

/* A stage of from_world. A device in promiscuous mode also receives frames for other hosts. */
static __noinline enum verdict enter_for_client(struct __sk_buff *skb, struct packet *packet)
{
	struct endpoint endpoint = {};
	struct self *own = this_node();
	enum verdict verdict = find_endpoint_for_client(packet, false, &endpoint);

	if (verdict == CONTINUE && !endpoint.port) {
		forget_client(packet);
		return CONTINUE;
	}
	if (!own || skb->pkt_type != PACKET_HOST)
		return PASS_NOT_OURS;
	if (verdict == SENT_REFUSAL)
		return refuse_port_of_service(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	if (is_misleading_error(packet))
		return DROP_MALFORMED;
	if (note_in(&client_flows, &packet->flow, &endpoint))
		return DROP_TABLE_FULL;
	return send_to_endpoint(skb, packet, &endpoint, own);
}

/* A stage of from_overlay: the entry node has found that this node has an endpoint. If it has none any more, the client tries again. */
static __noinline enum verdict deliver_for_client(struct __sk_buff *skb, struct packet *packet,
						  const struct address *entry)
{
	struct endpoint endpoint = {};
	enum verdict verdict = find_endpoint_for_client(packet, true, &endpoint);
	struct pod *pod;

	if (verdict == CONTINUE && !endpoint.port)
		return DROP_NO_ENDPOINT;
	if (verdict != CONTINUE)
		return verdict;
	if (is_misleading_error(packet))
		return DROP_MALFORMED;
	if (!is_of_this_node(&endpoint))
		return DROP_NO_ENDPOINT;
	if (note_in(&client_flows, &packet->flow, &endpoint))
		return DROP_TABLE_FULL;
	pod = bpf_map_lookup_elem(&pods, &endpoint.address);
	return note_client(packet, &endpoint, entry) ?: deliver_to_endpoint(skb, packet, &endpoint, pod);
}

#endif

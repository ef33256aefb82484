/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stand-alone without kube-proxy: processes of the node call Services at addresses that are not routed into the node's device for Services
 *
 *   process ── lo or a native device ── to_world ── sallyport-svc ── from_pod ── endpoint
 *   process ── sallyport-host ── to_pod ─────────── sallyport-svc ── from_pod ── endpoint      the answer
 *
 * These are node ports, external IPs and addresses of load balancers. A route would lead all ports of such an address into the device,
 * those of other servers, too. The kernel has chosen the sender's address for the route that it found, so to_world replaces it, and
 * to_pod puts it back.
 */
#ifndef SALLYPORT_FROM_PROCESS_H
#define SALLYPORT_FROM_PROCESS_H

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SERVICE_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct address);
} process_calls SEC(".maps");

static __always_inline long note_call(const struct flow_key *call, const struct address *process)
{
	struct address *known = bpf_map_lookup_elem(&process_calls, call);

	return known && same_address(known, process) ? 0 : bpf_map_update_elem(&process_calls, call, process, BPF_ANY);
}

/* A process sends from the client's address itself. An earlier flow with the same ports may have come from another address. */
static __noinline void forget_call(const struct packet *packet)
{
	if (may_choose(packet) && bpf_map_lookup_elem(&process_calls, &packet->flow))
		bpf_map_delete_elem(&process_calls, &packet->flow);
}

/* Is the packet from a process to a Service, which admits it? CONTINUE: it is. */
static __noinline enum verdict check_call(const struct packet *packet)
{
	struct service *service;
	struct service_key key;

	if (packet->untranslatable || is_for_tunnel(packet))
		return PASS_NOT_OURS;
	service = find_service(&packet->flow.destination, packet->flow.destination_port, packet->flow.protocol, &key);
	if (!service || !is_address_of_this_node(&packet->flow.source))
		return PASS_NOT_OURS;
	return service->has_sources && !admits(&key, &packet->flow.source) ? DROP_SOURCE_RANGES : CONTINUE;
}

/* Puts the packet in front of from_pod, as if it had come by the route to a cluster IP. */
static __noinline enum verdict send_as_client(struct __sk_buff *skb, struct packet *packet, const struct address *client)
{
	struct rewrite rewrite = {
		.from = packet->flow.source,
		.to = *client,
		.from_port = packet->flow.source_port,
		.to_port = packet->flow.source_port,
		.side = SIDE_SOURCE,
	};
	struct pod *node = bpf_map_lookup_elem(&pods, client);
	struct self *own = this_node();

	if (!own || !node)
		return DROP_INTERNAL;
	note_fragment(packet);
	clamp_mss(skb, packet, own->tunnel_mtu);
	if (rewrite_packet(skb, packet, &rewrite) != CONTINUE || write_macs(skb, node->host_mac, node->mac))
		return DROP_INTERNAL;
	record_departure(DEPARTED_BY_DEVICE, node->ifindex);
	return bpf_redirect(node->ifindex, BPF_F_INGRESS) == TC_ACT_REDIRECT ? SENT_TO_POD : DROP_INTERNAL;
}

/* A stage of to_world. */
static __noinline enum verdict call_service(struct __sk_buff *skb, struct packet *packet)
{
	struct node_client *client = find_node_client(packet->family);
	enum verdict verdict;
	struct flow_key call;

	if (!client)
		return PASS_NOT_OURS;
	if (same_address(&packet->flow.source, &client->address)) {
		forget_call(packet);
		return PASS_NOT_OURS;
	}
	verdict = check_call(packet);
	if (verdict != CONTINUE)
		return verdict;
	call = packet->flow;
	call.source = client->address;
	if (!packet->is_icmp_error && note_call(&call, &packet->flow.source))
		return DROP_TABLE_FULL;
	return send_as_client(skb, packet, &client->address);
}

/* The process that has called the Service may have sent from another address of the node. */
static __noinline enum verdict restore_process(struct __sk_buff *skb, struct packet *packet)
{
	struct rewrite rewrite = {
		.from = packet->flow.destination,
		.from_port = packet->flow.destination_port,
		.to_port = packet->flow.destination_port,
		.side = SIDE_DESTINATION,
	};
	struct self *own = this_node();
	struct address *process;
	struct flow_key call;

	reverse_flow(&call, &packet->flow);
	process = bpf_map_lookup_elem(&process_calls, &call);
	if (!process || !own)
		return PASS_TO_STACK;
	rewrite.to = *process;
	note_fragment(packet);
	clamp_mss(skb, packet, own->tunnel_mtu);
	return rewrite_packet(skb, packet, &rewrite) ?: PASS_TO_STACK;
}

/* A stage of to_pod. At the node's own device, nothing else is to be done. */
static __always_inline enum verdict restore_for_process(struct __sk_buff *skb, struct packet *packet)
{
	struct node_client *client = replaces_kube_proxy ? find_node_client(packet->family) : NULL;

	if (!client)
		return CONTINUE;
	if (same_address(&packet->flow.source, &client->turned))
		return PASS_TO_STACK;
	return same_address(&packet->flow.destination, &client->address) ? restore_process(skb, packet) : CONTINUE;
}

#endif

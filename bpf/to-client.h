/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An endpoint of this node replies to a client outside the cluster (from-client.h)
 */
#ifndef SALLYPORT_TO_CLIENT_H
#define SALLYPORT_TO_CLIENT_H

/* Written where the client's packets come in, and here. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_CLIENT_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct client_reply);
} client_replies SEC(".maps");

/*
 * Is the packet a reply? With a SYN the endpoint opens a connection of its own, even if an old one had the same ports. `since_ns`: what
 * came before was for another pod. Copies the entry, because another CPU may replace it.
 */
static __noinline bool find_client_reply(const struct packet *packet, __u64 since_ns, struct client_reply *reply)
{
	struct client_reply *found = bpf_map_lookup_elem(&client_replies, &packet->flow);
	__u64 now = found ? now_ns() : 0;

	if (!found || opens_connection(packet) || found->last_ns < since_ns ||
	    now - found->last_ns >= (packet->flow.protocol == IPPROTO_TCP ? tcp_established_ns : udp_ns))
		return false;
	if (!packet->is_icmp_error)
		found->last_ns = now;
	*reply = *found;
	return true;
}

/* Out by the kernel's routes. The client spoke to this node. Fills in `mtu` if the endpoint is to be told. */
static __noinline enum verdict leave_for_client(struct __sk_buff *skb, struct packet *packet, const struct rewrite *rewrite,
						__u32 *mtu)
{
	struct way_out way = {};
	enum verdict verdict = find_way_out(skb, packet, &rewrite->to, device_of_egress_ip(&rewrite->to), &way);

	if (expects_too_big(packet, verdict))
		*mtu = way.mtu ?: SMALLEST_MTU;
	if (verdict != CONTINUE)
		return verdict;
	clamp_mss(skb, packet, way.mtu);
	return rewrite_packet(skb, packet, rewrite) ?: send_to_world(skb, packet, &way, SENT_TO_WORLD);
}

/* Through the tunnel to the node to which the client spoke. Fills in `mtu`, too. */
static __noinline enum verdict return_to_entry(struct __sk_buff *skb, struct packet *packet, const struct rewrite *rewrite,
					       const struct address *entry, __u32 *mtu)
{
	struct self *own = this_node();

	if (!own)
		return DROP_INTERNAL;
	if (is_too_big(skb, packet, own->tunnel_mtu)) {
		*mtu = own->tunnel_mtu;
		return DROP_TOO_BIG;
	}
	clamp_mss(skb, packet, own->tunnel_mtu);
	return rewrite_packet(skb, packet, rewrite) ?:
	       send_to_node(skb, packet, entry, TUNNEL_SERVICE_REPLY, SENT_TO_NODE);
}

/* `is_of_process`: of a process of this node. If the client spoke to this node, the stack has found the way already. */
static __noinline enum verdict translate_reply(struct __sk_buff *skb, struct packet *packet, const struct client_reply *reply,
					       bool is_of_process, __u32 *mtu)
{
	struct rewrite rewrite = {
		.from = packet->flow.source,
		.to = reply->service.address,
		.from_port = packet->flow.source_port,
		.to_port = reply->service.port,
		.side = SIDE_SOURCE,
	};
	struct self *own = this_node();

	if (!own)
		return DROP_INTERNAL;
	note_fragment(packet);
	if (!same_address(&reply->entry, &own->tunnel_address))
		return return_to_entry(skb, packet, &rewrite, &reply->entry, mtu);
	if (is_of_process)
		return rewrite_packet(skb, packet, &rewrite) ?: PASS_REPLY;
	return leave_for_client(skb, packet, &rewrite, mtu);
}

/* CONTINUE: the packet is no reply. */
static __always_inline enum verdict find_and_translate_reply(struct __sk_buff *skb, struct packet *packet,
							     const struct pod *pod, __u32 *mtu)
{
	struct client_reply reply = {};

	if (packet->untranslatable || !find_client_reply(packet, pod ? pod->since_ns : 0, &reply))
		return CONTINUE;
	return translate_reply(skb, packet, &reply, !pod, mtu);
}

/* A stage of from_pod and to_world. `pod`: NULL in to_world. */
static __noinline enum verdict reply_to_client(struct __sk_buff *skb, struct packet *packet, const struct pod *pod)
{
	__u32 mtu = 0;
	enum verdict verdict = find_and_translate_reply(skb, packet, pod, &mtu);

	return mtu ? answer_too_big(skb, packet, mtu) : verdict;
}

/* May the node send from this address and port? Those of Services that clients outside reach. */
static __noinline bool is_for_clients(const struct packet *packet)
{
	struct service_key key;
	struct service *service = find_service(&packet->flow.source, packet->flow.source_port, packet->flow.protocol, &key);

	return service && service->clients != CLIENTS_NONE;
}

#endif

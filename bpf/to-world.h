/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stages of to_world: a packet that the stack sends out by a device of the node
 *
 * Beside kube-proxy the stack translates a Service's address into that of an endpoint. If the endpoint is outside the
 * cluster, the packet comes here with its pod's own address. It leaves as if the pod had sent it to the endpoint itself, and
 * the replies go back to the stack, which knows the Service. The kernel calls this program after the stack's own rules, so
 * it also checks that these left the egress IP in the packets that the stack forwards for us (through-stack.h).
 */
#ifndef SALLYPORT_TO_WORLD_H
#define SALLYPORT_TO_WORLD_H

static __always_inline enum verdict read_to_world(struct __sk_buff *skb, struct packet *packet)
{
	if (is_of_vlan(skb) || parse_any(skb, packet) != CONTINUE)
		return PASS_NOT_OURS;
	packet->is_leaving = 1;
	return CONTINUE;
}

/* Without kube-proxy, the program has other tasks: a process of this node replies to a client of a Service, or calls a Service itself. */
static __always_inline enum verdict serve_processes(struct __sk_buff *skb, struct packet *packet)
{
	if (!replaces_kube_proxy)
		return CONTINUE;
	return reply_to_client(skb, packet, NULL) ?: call_service(skb, packet);
}

/* Has the stack translated a packet of another node's pod, whose policies this node does not know? */
static __always_inline bool is_of_other_nodes_pod(const struct packet *packet)
{
	struct cluster_destination *sender = find_in_cluster(&packet->sender);

	return sender && sender->kind == CLUSTER_PODS && !find_in_cluster(&packet->receiver);
}

/* from_pod has seen that the pod sent the packet. Fills in `pod`. */
static __always_inline enum verdict identify_sender(const struct packet *packet, struct journey *journey)
{
	journey->pod = bpf_map_lookup_elem(&pods, &packet->sender);
	if (!journey->pod)
		return is_of_other_nodes_pod(packet) ? DROP_UNKNOWN_POD : PASS_NOT_OURS;
	return journey->pod->quarantined ? DROP_UNKNOWN_POD : CONTINUE;
}

/* Before the first packet leaves, and so before any reply. */
static __always_inline enum verdict return_through_stack(const struct journey *journey)
{
	journey->mapping->through_stack = 1;
	return CONTINUE;
}

#endif

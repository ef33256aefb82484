/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stages of to_pod: a packet that the stack delivers to a pod. In stand-alone mode, these are connections from outside the
 * datapath only. In chained mode, all connections except translated ones.
 */
#ifndef SALLYPORT_TO_POD_H
#define SALLYPORT_TO_POD_H

static __always_inline enum verdict read_for_pod(struct __sk_buff *skb, struct packet *packet)
{
	return parse(skb, packet) == CONTINUE ? CONTINUE : PASS_TO_STACK;
}

/* A process of this node answers a pod. Or a process of this node, or a host outside, calls the pod without a Service. */
static __always_inline enum verdict restore_for_pod(struct __sk_buff *skb, const struct packet *packet)
{
	if (!replaces_kube_proxy)
		return CONTINUE;
	forget_client(packet);
	return restore_reply(skb, packet);
}

/*
 * The table forgets the oldest, so it has no room to lose to traffic from within the cluster, which no policy ever selects, nor
 * to what is only routed to a pod that NetworkPolicies do not restrict. A Service that leads out of the cluster has an
 * address in the cluster, and a policy may select its endpoints.
 */
static __always_inline bool is_worth_keeping(const struct packet *packet)
{
	struct cluster_destination *sender = find_in_cluster(&packet->sender);
	struct pod *pod;

	if (!sender || (chained && is_from_service(packet)))
		return true;
	if (sender->kind != CLUSTER_ROUTED)
		return false;
	pod = bpf_map_lookup_elem(&pods, &packet->receiver);
	return pod && pod->network_set;
}

/* Keeps the connection in `inbound` as the pod will answer it. */
static __noinline enum verdict keep_inbound(const struct packet *packet)
{
	struct inbound connection = { .last_ns = now_ns() };
	__u8 protocol = packet->flow.protocol;
	bool is_icmp = protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
	struct flow_key key;

	if (packet->is_icmp_error || (is_icmp && !packet->is_request && !chained) || !is_worth_keeping(packet))
		return PASS_TO_STACK;
	reverse_flow(&key, &packet->flow);
	bpf_map_update_elem(&inbound, &key, &connection, BPF_ANY);
	return PASS_TO_STACK;
}

#endif

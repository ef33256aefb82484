/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Services that lead out of the cluster, in chained mode
 *
 * kube-proxy would translate such a Service's address in the stack, and the packet would leave with the node's address. So if
 * a policy of the pod selects an endpoint, from_pod translates the destination itself. From there on the packet is one that
 * the pod sent to the endpoint. Replies get the Service's address back before they reach the pod.
 *
 * The state is kept on the pod's node: `service_flows` has the endpoint of each flow, `service_replies` leads back.
 */
#ifndef SALLYPORT_SERVICE_H
#define SALLYPORT_SERVICE_H

/* Written by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

/* Written by the programs alone, like the next. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SERVICE_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct endpoint);
} service_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SERVICE_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct endpoint);
} service_replies SEC(".maps");

static __always_inline void fill_service_key(struct service_key *key, const struct address *address, __be16 port,
					     __u8 protocol)
{
	key->address = *address;
	key->port = port;
	key->protocol = protocol;
	key->reserved = 0;
}

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

/*
 * An endpoint that the policy set selects: the one in `endpoint` if the Service still has it, else the next from `start` on.
 * `endpoint->port` becomes 0 if there is none.
 */
__noinline int choose_endpoint(const struct service_key *of, __u64 policy_set, __u32 start, struct endpoint *endpoint)
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
	start %= count;
	for (__u32 i = 0; i < MAX_ENDPOINTS; i++) {
		__u32 index = start + i;

		if (i >= count)
			break;
		if (index >= count)
			index -= count;
		if (index >= MAX_ENDPOINTS)
			break;
		if (endpoint->port && !same_endpoint(&service->endpoints[index], &before))
			continue;
		if (!find_selecting_rule(policy_set, &service->endpoints[index].address))
			continue;
		*endpoint = service->endpoints[index];
		if (!before.port || same_endpoint(endpoint, &before))
			break;
	}
	return 0;
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

#endif

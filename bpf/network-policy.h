/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether the NetworkPolicies that select a pod let it send to a destination outside the cluster
 *
 * Only a new flow is checked. Its later packets and the replies need no rule, and a changed NetworkPolicy does not end it.
 */
#ifndef SALLYPORT_NETWORK_POLICY_H
#define SALLYPORT_NETWORK_POLICY_H

/* Written by the agent, like the next. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_NETWORK_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network_rule_key);
	__type(value, struct network_rule);
} network_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PORT_LISTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct port_list);
} port_lists SEC(".maps");

static __noinline struct network_rule *find_network_rule(__u64 network_set, const struct address *destination)
{
	struct network_rule_key key = {
		.prefix_length = 64 + 128,
		.network_set = { (__u32)network_set, (__u32)(network_set >> 32) },
		.destination = *destination,
	};

	return bpf_map_lookup_elem(&network_rules, &key);
}

static __noinline bool is_listed(__u64 list_id, __u16 protocol, __u16 port)
{
	struct port_list *list = bpf_map_lookup_elem(&port_lists, &list_id);

	if (!list)
		return false;
	for (__u32 i = 0; i < MAX_PORT_RANGES; i++) {
		struct port_range *range = &list->ranges[i];

		if (i >= list->count)
			break;
		if (range->protocol == protocol && range->first <= port && port <= range->last)
			return true;
	}
	return false;
}

/* A list has ranges of TCP, UDP and SCTP alone, so a rule with ports allows no ICMP. A missing entry allows nothing. */
__noinline int may_send(__u64 network_set, const struct flow_key *flow)
{
	struct network_rule *rule;

	if (!network_set)
		return 1;
	if (!flow)
		return 0;
	rule = find_network_rule(network_set, &flow->destination);
	if (!rule)
		return 0;
	if (rule->action == NETWORK_ALLOW)
		return 1;
	return rule->action == NETWORK_ALLOW_PORTS &&
	       is_listed(rule->port_list, flow->protocol, bpf_ntohs(flow->destination_port));
}

static __always_inline enum verdict check_network_policies(const struct packet *packet, const struct pod *pod)
{
	return may_send(pod->network_set, &packet->flow) ? CONTINUE : DROP_NETWORK_POLICY;
}

#endif

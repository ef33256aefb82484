/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which rule of a pod's policy set applies to a destination
 */
#ifndef SALLYPORT_POLICY_H
#define SALLYPORT_POLICY_H

/* Written by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rule_key);
	__type(value, struct rule);
} rules SEC(".maps");

static __always_inline struct rule *find_rule(__u64 policy_set, const struct address *destination)
{
	struct rule_key key = {
		.prefix_length = 64 + 128,
		.policy_set = { (__u32)policy_set, (__u32)(policy_set >> 32) },
		.destination = *destination,
	};

	return bpf_map_lookup_elem(&rules, &key);
}

/* The rule by which a policy selects the packet. None if no policy selects the pod, or all exclude the destination. */
static __always_inline struct rule *find_selecting_rule(__u64 policy_set, const struct address *destination)
{
	struct rule *rule = policy_set ? find_rule(policy_set, destination) : NULL;

	return rule && rule->action != RULE_EXCLUDE ? rule : NULL;
}

#endif

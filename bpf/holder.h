/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which gateway answers for an egress IP now, and which egress IP a new flow gets
 */
#ifndef SALLYPORT_HOLDER_H
#define SALLYPORT_HOLDER_H

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_GROUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct group);
} groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_EGRESS_IPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct egress_ip);
} egress_ips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NODES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct probed_gateway);
} probed_gateways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct liveness);
} liveness SEC(".maps");

/* What this node's probes say about a gateway. */
enum reachability {
	UNREACHABLE = 0,
	FLAPPING,	/* reachable, but it came and went too often: used only if no better gateway is reachable */
	REACHABLE,
};

/* If this node's agent is not probing, or does not probe that gateway, it counts as reachable: fail static. */
static __always_inline enum reachability reachability_of(const struct address *gateway, __u64 now)
{
	__u32 key = 0;
	struct liveness *own = bpf_map_lookup_elem(&liveness, &key);
	struct probed_gateway *probed;

	if (!own || own->probing_until_ns < now)
		return REACHABLE;
	probed = bpf_map_lookup_elem(&probed_gateways, gateway);
	if (!probed)
		return REACHABLE;
	if (probed->answered_ns + gateway_silence_ns <= now)
		return UNREACHABLE;
	return probed->flapping_until_ns > now ? FLAPPING : REACHABLE;
}

enum holder {
	HOLDER_NONE = 0,
	HOLDER_SELF,
	HOLDER_OTHER,
};

/*
 * Which gateway answers for an egress IP now: the first in its order that is this node or reachable, else the first that is
 * flapping. The order is short, and nearly always the first of it, the owner, is the holder.
 */
__noinline enum holder find_holder(const struct address *egress_ip, __u64 now, struct address *gateway)
{
	struct address key = egress_ip ? *egress_ip : (struct address){};
	struct egress_ip *entry = bpf_map_lookup_elem(&egress_ips, &key);
	enum holder holder = HOLDER_NONE;
	struct self *own = this_node();
	enum reachability reachability;

	if (!entry || !own || !gateway)
		return HOLDER_NONE;
	for (__u32 i = 0; i < MAX_HOLDERS; i++) {
		if (i >= entry->holder_count)
			break;
		if (same_address(&entry->order[i], &own->tunnel_address))
			return HOLDER_SELF;
		reachability = reachability_of(&entry->order[i], now);
		if (reachability == REACHABLE || (reachability == FLAPPING && holder == HOLDER_NONE)) {
			*gateway = entry->order[i];
			holder = HOLDER_OTHER;
		}
		if (reachability == REACHABLE)
			break;
	}
	return holder;
}

static __noinline bool is_owner_reachable(const struct address *egress_ip, __u64 now)
{
	struct egress_ip *entry = bpf_map_lookup_elem(&egress_ips, egress_ip);
	struct self *own = this_node();

	return entry && own && entry->holder_count > 0 &&
	       (same_address(&entry->order[0], &own->tunnel_address) ||
		reachability_of(&entry->order[0], now) == REACHABLE);
}

/* The slot whose node may use a port of the address, NO_SLOT, THIS_NODE or LEFT_TO_STACK. */
static __always_inline __u32 owner_of(const struct egress_ip *egress_ip, __be16 port)
{
	return egress_ip->block_owner[bpf_ntohs(port) >> PORT_BLOCK_BITS];
}

/* The device by which packets from the egress IP must leave this node; 0: any. */
static __always_inline __u32 device_of_egress_ip(const struct address *egress_ip)
{
	struct egress_ip *entry = bpf_map_lookup_elem(&egress_ips, egress_ip);

	return entry ? entry->ifindex : 0;
}

enum rank {
	PREFERRED,
	STANDBY,
};

/* Which gateway may answer for the egress IP that a new flow gets. */
enum served {
	BY_ITS_OWNER,	/* the owner, and it must be reachable and not flapping */
	BY_ANY_HOLDER,
};

static __always_inline bool is_served(const struct address *egress_ip, enum served served, __u64 now)
{
	struct address gateway = {};

	if (served == BY_ITS_OWNER)
		return is_owner_reachable(egress_ip, now);
	return find_holder(egress_ip, now, &gateway) != HOLDER_NONE;
}

/* A random egress IP of a rank, or the next that is served. The number of tries is bounded for the verifier. */
static __noinline bool pick_egress_ip(const struct group *group, enum rank rank, enum served served, __u64 now,
				      struct address *egress_ip)
{
	__u32 first = rank == PREFERRED ? 0 : group->preferred;
	__u32 count = rank == PREFERRED ? group->preferred : group->count - group->preferred;
	__u32 start;

	if (count == 0)
		return false;
	start = random_u32() % count;
	for (__u32 i = 0; i < GROUP_TRIES; i++) {
		__u32 index = start + i;

		if (i >= count)
			break;
		if (index >= count)
			index -= count;
		index += first;
		if (index >= MAX_GROUP_MEMBERS)
			break;
		*egress_ip = group->egress_ips[index];
		if (is_served(egress_ip, served, now))
			return true;
	}
	return false;
}

/* For policies with one address: the flow gets that address from its successor rather than another from its owner. */
static __noinline bool pick_same_address(const struct group *group, __u64 now, struct address *egress_ip)
{
	return pick_egress_ip(group, PREFERRED, BY_ITS_OWNER, now, egress_ip) ||
	       pick_egress_ip(group, PREFERRED, BY_ANY_HOLDER, now, egress_ip) ||
	       pick_egress_ip(group, STANDBY, BY_ITS_OWNER, now, egress_ip) ||
	       pick_egress_ip(group, STANDBY, BY_ANY_HOLDER, now, egress_ip);
}

/* For policies that spread flows: another address from its owner rather than one from a successor. */
static __noinline bool pick_own_gateway(const struct group *group, __u64 now, struct address *egress_ip)
{
	return pick_egress_ip(group, PREFERRED, BY_ITS_OWNER, now, egress_ip) ||
	       pick_egress_ip(group, STANDBY, BY_ITS_OWNER, now, egress_ip) ||
	       pick_egress_ip(group, PREFERRED, BY_ANY_HOLDER, now, egress_ip) ||
	       pick_egress_ip(group, STANDBY, BY_ANY_HOLDER, now, egress_ip);
}

/* An egress IP for a new flow. */
__noinline enum verdict choose_egress_ip(__u64 group_id, __u64 now, struct address *egress_ip)
{
	struct group *group = bpf_map_lookup_elem(&groups, &group_id);
	struct address picked = {};
	bool is_picked;

	if (!egress_ip || !group || group->count == 0 || group->count > MAX_GROUP_MEMBERS ||
	    group->preferred > group->count)
		return DROP_NO_GATEWAY;
	if (group->keeps_address)
		is_picked = pick_same_address(group, now, &picked);
	else
		is_picked = pick_own_gateway(group, now, &picked);
	*egress_ip = picked;
	return is_picked ? CONTINUE : DROP_NO_LIVE_GATEWAY;
}

#endif

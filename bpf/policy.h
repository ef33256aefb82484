/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Whose packet is it, where does it go, and may it: the tables that the agent writes
 */
#ifndef SALLYPORT_POLICY_H
#define SALLYPORT_POLICY_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct self);
} self SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PODS);
	__type(key, struct address);
	__type(value, struct pod);
} pods SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_CLUSTER_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cluster_key);
	__type(value, struct cluster_destination);
} cluster SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rule_key);
	__type(value, struct rule);
} rules SEC(".maps");

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
	__type(value, struct node);
} nodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NODES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct address);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NODES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct heard);
} heard SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vitals);
} vitals SEC(".maps");

/* Connections that came from outside, by the stack (NodePort, LoadBalancer, host ports). Written by to_pod. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_INBOUND);
	__type(key, struct flow_key);
	__type(value, struct inbound);
} inbound SEC(".maps");

static __always_inline struct self *this_node(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&self, &key);
}

/* A device belongs to one pod: an address that is not the pod's own is refused, whatever it is. */
static __always_inline enum verdict identify_pod(struct __sk_buff *skb, const struct packet *packet,
						 struct pod **found)
{
	struct pod *pod = bpf_map_lookup_elem(&pods, &packet->sender);

	if (!pod)
		return DROP_UNKNOWN_POD;
	if (pod->ifindex != skb->ifindex)
		return DROP_SPOOFED_SOURCE;
	if (pod->quarantined)
		return DROP_UNKNOWN_POD;
	if (packet->is_icmp_error && !same_address(&packet->flow.source, &packet->sender))
		return DROP_SPOOFED_SOURCE;
	*found = pod;
	return CONTINUE;
}

/* The slot whose node may use a port of the address, NO_SLOT or THIS_NODE. */
static __always_inline __u32 owner_of(const struct egress_ip *egress_ip, __be16 port)
{
	return egress_ip->block_owner[bpf_ntohs(port) >> PORT_BLOCK_BITS];
}

static __always_inline struct cluster_destination *find_in_cluster(const struct address *address)
{
	struct cluster_key key = { .prefix_length = 128, .address = *address };

	return bpf_map_lookup_elem(&cluster, &key);
}

static __always_inline bool is_for_tunnel(const struct packet *packet)
{
	return packet->flow.protocol == IPPROTO_UDP && !packet->is_icmp_error &&
	       packet->flow.destination_port == bpf_htons(tunnel_port);
}

/*
 * Would this come out of a node's tunnel as if another node had sent it? Nodes are known by their addresses, and a pod's
 * datagram gets its node's address on the way out, or from another plugin. Pods may have a tunnel among themselves, and
 * where the pod's own address stays the source, nobody believes it.
 */
static __noinline bool would_pass_for_node(const struct packet *packet)
{
	struct cluster_destination *destination;

	if (!is_for_tunnel(packet) || bpf_map_lookup_elem(&pods, &packet->receiver))
		return false;
	destination = find_in_cluster(&packet->receiver);
	return !destination || (chained && destination->kind != CLUSTER_STACK);
}

static __always_inline struct rule *find_rule(__u64 policy_set, const struct address *destination)
{
	struct rule_key key = {
		.prefix_length = 64 + 128,
		.policy_set = { (__u32)policy_set, (__u32)(policy_set >> 32) },
		.destination = *destination,
	};

	return bpf_map_lookup_elem(&rules, &key);
}

enum life {
	LIFE_SILENT = 0,
	LIFE_DISTRUSTED,	/* heard, but it came and went too often: for where there is nobody better */
	LIFE_TRUSTED,
};

/* Without the own agent's probes nobody is ever heard, and nobody may be judged by it: fail static. */
static __always_inline enum life life_of(const struct address *gateway, __u64 now)
{
	__u32 key = 0;
	struct vitals *own = bpf_map_lookup_elem(&vitals, &key);
	struct heard *heard_of;

	if (!own || own->probing_until_ns < now)
		return LIFE_TRUSTED;
	heard_of = bpf_map_lookup_elem(&heard, gateway);
	if (!heard_of)
		return LIFE_TRUSTED;
	if (heard_of->last_ns + gateway_silence_ns <= now)
		return LIFE_SILENT;
	return heard_of->distrusted_until_ns > now ? LIFE_DISTRUSTED : LIFE_TRUSTED;
}

static __always_inline __u64 inbound_lifetime_ns(__u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return tcp_established_ns;
	return protocol == IPPROTO_UDP ? inbound_udp_ns : inbound_icmp_ns;
}

/*
 * A pod's packet of a connection that the stack delivers: one that came from outside, or in chained mode one that was open
 * before a policy claimed it. A SYN of the pod is the pod's own doing, also where the ports are those of an old connection;
 * and what was delivered before the pod had its address was its predecessor's.
 */
static __always_inline bool is_inbound_reply(const struct packet *packet, const struct pod *pod, __u64 now)
{
	struct inbound *connection;

	if (packet->flow.protocol == IPPROTO_TCP && (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return false;
	connection = bpf_map_lookup_elem(&inbound, &packet->flow);
	if (!connection || connection->last_ns < pod->since_ns ||
	    now - connection->last_ns >= inbound_lifetime_ns(packet->flow.protocol))
		return false;
	if (!packet->is_icmp_error)
		connection->last_ns = now;
	return true;
}

/*
 * Who answers for an egress IP now: the first in its order that is this node or trusted, else the first that is heard.
 * The order is short, and its owner is nearly always the answer.
 */
enum holder {
	HOLDER_NONE = 0,
	HOLDER_SELF,
	HOLDER_OTHER,
};

__noinline enum holder find_holder(const struct address *egress_ip, __u64 now, struct address *gateway)
{
	struct address key = egress_ip ? *egress_ip : (struct address){};
	struct egress_ip *entry = bpf_map_lookup_elem(&egress_ips, &key);
	enum holder holder = HOLDER_NONE;
	struct self *own = this_node();
	enum life life;

	if (!entry || !own || !gateway)
		return HOLDER_NONE;
	for (__u32 i = 0; i < MAX_HOLDERS; i++) {
		if (i >= entry->holder_count)
			break;
		if (same_address(&entry->order[i], &own->tunnel_address))
			return HOLDER_SELF;
		life = life_of(&entry->order[i], now);
		if (life == LIFE_TRUSTED || (life == LIFE_DISTRUSTED && holder == HOLDER_NONE)) {
			*gateway = entry->order[i];
			holder = HOLDER_OTHER;
		}
		if (life == LIFE_TRUSTED)
			break;
	}
	return holder;
}

static __noinline bool is_owner_trusted(const struct address *egress_ip, __u64 now)
{
	struct egress_ip *entry = bpf_map_lookup_elem(&egress_ips, egress_ip);
	struct self *own = this_node();

	return entry && own && entry->holder_count > 0 &&
	       (same_address(&entry->order[0], &own->tunnel_address) ||
		life_of(&entry->order[0], now) == LIFE_TRUSTED);
}

/* Which of a group's egress IPs a pass looks at, and what it asks of them. */
struct pass {
	__u32 first;
	__u32 count;
	bool asks_for_owner;	/* the node where the address belongs must be trusted, a successor will not do */
};

/* A random one, or the next that will do. The walk is bounded for the verifier's sake. */
static __noinline bool pick_egress_ip(const struct group *group, const struct pass *pass, __u64 now,
				      struct address *egress_ip)
{
	struct address gateway = {};
	__u32 start;

	if (pass->count == 0)
		return false;
	start = bpf_get_prandom_u32() % pass->count;
	for (__u32 i = 0; i < GROUP_TRIES; i++) {
		__u32 index = start + i;

		if (i >= pass->count)
			break;
		if (index >= pass->count)
			index -= pass->count;
		index += pass->first;
		if (index >= MAX_GROUP_MEMBERS)
			break;
		*egress_ip = group->egress_ips[index];
		if (pass->asks_for_owner ? is_owner_trusted(egress_ip, now) :
					   find_holder(egress_ip, now, &gateway) != HOLDER_NONE)
			return true;
	}
	return false;
}

/*
 * An egress IP for a new flow. First those that are preferred, where they belong; then what comes next: for policies that
 * spread, one that stands by; for those with one address, the same address at its successor.
 */
__noinline enum verdict choose_egress_ip(__u64 group_id, __u64 now, struct address *egress_ip)
{
	struct group *group = bpf_map_lookup_elem(&groups, &group_id);
	enum verdict verdict = DROP_NO_LIVE_GATEWAY;
	struct address picked = {};

	if (!egress_ip || !group || group->count == 0 || group->count > MAX_GROUP_MEMBERS || group->preferred > group->count)
		return DROP_NO_GATEWAY;
	for (__u32 i = 0; i < 4; i++) {
		bool is_standby = group->keeps_address ? i >> 1 : i & 1;
		struct pass pass = {
			.first = is_standby ? group->preferred : 0,
			.count = is_standby ? group->count - group->preferred : group->preferred,
			.asks_for_owner = group->keeps_address ? !(i & 1) : !(i >> 1),
		};

		if (pick_egress_ip(group, &pass, now, &picked)) {
			verdict = CONTINUE;
			break;
		}
	}
	*egress_ip = picked;
	return verdict;
}

#endif

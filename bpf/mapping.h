/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The life of a mapping: when it expires, when another flow may reclaim its port, and how it is deleted
 *
 * `mappings` holds a flow's state by the flow as the pod sees it. `ports` leads back to the mapping from the flow as the
 * world sees it. An entry of `ports` means that a port is taken towards one destination. A program adds it before the
 * mapping and deletes it after, so that no two flows ever share a port. A flow that wants the port of an old mapping
 * deletes that mapping, and so does the agent's sweep.
 *
 * Exactly one CPU wins the right to delete a mapping, under its lock. All others treat it as deleted. The kernel may give
 * the memory of a deleted entry to another flow while a program still reads it. So a program copies what it needs first,
 * and uses the copy only if mapping and port name each other.
 */
#ifndef SALLYPORT_MAPPING_H
#define SALLYPORT_MAPPING_H

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_MAPPINGS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct mapping);
} mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_MAPPINGS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct flow_key);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_POD_FLOWS);
	__type(key, struct pod_flows_key);
	__type(value, __u32);
} pod_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ended_flows_key);
	__type(value, struct ended_flows);
} ended_flows SEC(".maps");

static const struct ended_flows none_ended = {};

enum {
	STATE_FIN_EITHER = STATE_FIN_OUT | STATE_FIN_IN,
	STATE_CLOSED = STATE_FIN_OUT_ACKED | STATE_FIN_IN_ACKED,
};

static __always_inline __u64 udp_lifetime_ns(const struct mapping *mapping, __be16 destination_port)
{
	if (destination_port != bpf_htons(DNS_PORT))
		return udp_ns;
	return mapping->packets_in < mapping->packets_out ? dns_unanswered_ns : dns_answered_ns;
}

/* A reset or a FIN makes a connection transitory; it does not end it (RFC 5382 REQ-5, RFC 7857). */
static __always_inline __u64 lifetime_ns(const struct mapping *mapping, const struct flow_key *flow)
{
	if (flow->protocol == IPPROTO_UDP)
		return udp_lifetime_ns(mapping, flow->destination_port);
	if (flow->protocol != IPPROTO_TCP)
		return icmp_ns;
	if ((mapping->state & STATE_ESTABLISHED) && !(mapping->state & (STATE_FIN_EITHER | STATE_RESET)))
		return tcp_established_ns;
	return tcp_transitory_ns;
}

/* A packet that comes after this time does not belong to the flow any more. `flow`: as the pod or the world sees it. */
static __always_inline bool is_expired(const struct mapping *mapping, const struct flow_key *flow, __u64 now)
{
	__u64 last = mapping->last_outward_ns;

	if (mapping->last_inward_ns > last)
		last = mapping->last_inward_ns;
	return last + lifetime_ns(mapping, flow) < now;
}

/*
 * The pod is gone, or another has its address: no packet will ever use the mapping again. `flow`: as the pod sees it. Nobody knows when
 * a client outside is gone.
 */
static __always_inline bool is_abandoned(const struct mapping *mapping, const struct flow_key *flow)
{
	struct pod *pod = bpf_map_lookup_elem(&pods, &flow->source);

	if (mapping->is_of_client)
		return false;
	return !pod || mapping->created_ns < pod->since_ns;
}

/*
 * May another flow have the port? Yes, if the mapping has expired or its pod is gone. Also if the connection was closed
 * cleanly and its far end keeps no state of it, because the pod closed first, or because the far end's TIME_WAIT is over.
 */
static __noinline bool is_reclaimable(const struct mapping *mapping, const struct flow_key *flow, __u64 now)
{
	if (mapping->closed_ns && (mapping->state & STATE_POD_CLOSED_FIRST))
		return true;
	if (mapping->closed_ns && mapping->closed_ns + tcp_time_wait_ns < now)
		return true;
	return is_expired(mapping, flow, now) || is_abandoned(mapping, flow);
}

/* Only this lock keeps two flows from getting one port. */
static __always_inline bool win_reclaim(struct mapping *mapping)
{
	bool won;

	bpf_spin_lock(&mapping->lock);
	won = !mapping->reclaimed;
	mapping->reclaimed = 1;
	bpf_spin_unlock(&mapping->lock);
	return won;
}

static __always_inline void fill_port_key(struct flow_key *key, const struct mapping *mapping,
					  const struct flow_key *flow)
{
	*key = *flow;
	key->source = mapping->egress_ip;
	key->source_port = mapping->egress_port;
}

static __always_inline bool same_flow(const struct flow_key *a, const struct flow_key *b)
{
	return same_address(&a->source, &b->source) && same_address(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       a->protocol == b->protocol;
}

/* Is this the port of the flow's mapping? Another flow may have taken the port in the meantime. */
static __noinline bool has_port(const struct mapping *mapping, const struct flow_key *flow, const struct flow_key *key)
{
	struct flow_key own;

	fill_port_key(&own, mapping, flow);
	return same_flow(&own, key);
}

/*
 * The mapping that has a port, with its flow as the pod sees it. `key`: the flow as the world sees it. NULL: no flow that lives has the
 * port.
 */
static __always_inline struct mapping *find_by_port(const struct flow_key *key, struct flow_key *flow, __u64 now)
{
	struct flow_key *taken = bpf_map_lookup_elem(&ports, key);
	struct mapping *mapping;

	if (!taken)
		return NULL;
	*flow = *taken;
	mapping = bpf_map_lookup_elem(&mappings, flow);
	if (!mapping || mapping->reclaimed || !has_port(mapping, flow, key) || is_expired(mapping, key, now))
		return NULL;
	return mapping;
}

/* Masqueraded flows have a count of their own: the node's address may be an egress IP, too. */
static __always_inline void fill_pod_flows_key(struct pod_flows_key *key, const struct address *pod,
					       const struct address *egress_ip, bool is_masqueraded)
{
	struct address none = {};

	key->pod = *pod;
	key->egress_ip = is_masqueraded ? none : *egress_ip;
}

static __noinline void count_flow(const struct address *pod, const struct mapping *mapping)
{
	struct pod_flows_key key;
	__u32 *count, one = 1;

	fill_pod_flows_key(&key, pod, &mapping->egress_ip, mapping->masqueraded);
	count = bpf_map_lookup_elem(&pod_flows, &key);
	if (count && (__s32)*count >= 0)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&pod_flows, &key, &one, BPF_ANY);
}

/*
 * Two flows that were never counted may end at the same time, and take the count below zero. A reader takes such a count
 * for zero, and the next flow starts at one.
 */
static __noinline void uncount_flow(const struct address *pod, const struct mapping *mapping)
{
	struct pod_flows_key key;
	__u32 *count;

	fill_pod_flows_key(&key, pod, &mapping->egress_ip, mapping->masqueraded);
	count = bpf_map_lookup_elem(&pod_flows, &key);
	if (count && (__s32)*count > 0)
		__sync_fetch_and_add(count, -1);
}

/*
 * Mappings count the packets of their flows, so that no packet has to count twice. Here a flow's counts join those of its policy.
 * If the table is full, the counts of a policy that is not in it are lost.
 */
static __noinline void keep_counts(const struct mapping *mapping)
{
	struct ended_flows_key key = {};
	struct ended_flows *ended;

	if (!mapping->masqueraded) {
		key.policy = mapping->policy;
		key.egress_ip = mapping->egress_ip;
	}
	ended = bpf_map_lookup_elem(&ended_flows, &key);
	if (!ended) {
		bpf_map_update_elem(&ended_flows, &key, &none_ended, BPF_NOEXIST);
		ended = bpf_map_lookup_elem(&ended_flows, &key);
	}
	if (!ended)
		return;
	__sync_fetch_and_add(&ended->flows, 1);
	__sync_fetch_and_add(&ended->packets_out, mapping->packets_out);
	__sync_fetch_and_add(&ended->packets_in, mapping->packets_in);
	__sync_fetch_and_add(&ended->bytes_out, mapping->bytes_out);
	__sync_fetch_and_add(&ended->bytes_in, mapping->bytes_in);
}

/* Call it only after win_reclaim(). The port stays taken. A flow that was closed is not counted any more. */
static __always_inline void delete_mapping_alone(const struct mapping *mapping, const struct flow_key *flow)
{
	if (!mapping->closed_ns)
		uncount_flow(&flow->source, mapping);
	keep_counts(mapping);
	if (flow_log && !mapping->masqueraded)
		record_end(mapping, flow);
	bpf_map_delete_elem(&mappings, flow);
}

/* Call it only after win_reclaim(). The mapping goes first: other CPUs do not touch a port without a mapping. */
static __always_inline void delete_mapping(const struct mapping *mapping, const struct flow_key *flow,
					    const struct flow_key *key)
{
	struct flow_key *taken;

	delete_mapping_alone(mapping, flow);
	taken = bpf_map_lookup_elem(&ports, key);
	if (taken && same_flow(taken, flow))
		bpf_map_delete_elem(&ports, key);
}

/* Deletes the old mapping of a flow. The current policy then decides about the flow's next packet. */
static __noinline void delete_stale_mapping(struct mapping *mapping, const struct flow_key *flow)
{
	struct flow_key key;

	if (!win_reclaim(mapping))
		return;
	fill_port_key(&key, mapping, flow);
	delete_mapping(mapping, flow, &key);
}

/*
 * The gateway cannot use the port. If nothing has come back yet, the flow's next packet gets another one. The port stays
 * taken until the agent has swept twice: no flow tries it again, and the node requests more ports if many are refused.
 */
static __always_inline void refuse_port(struct mapping *mapping, const struct flow_key *flow)
{
	if (mapping->packets_in == 0 && win_reclaim(mapping))
		delete_mapping_alone(mapping, flow);
}

/* Frees a taken port if its flow is over. The first flow that asks for it then gets it. */
static __noinline bool reclaim(const struct flow_key *key, __u64 now)
{
	struct flow_key *taken = bpf_map_lookup_elem(&ports, key), flow;
	struct mapping *mapping;

	if (!taken)
		return true;
	flow = *taken;
	mapping = bpf_map_lookup_elem(&mappings, &flow);
	/* If there is no mapping, another CPU is adding or deleting it right now. The agent's sweep finds leftovers. */
	if (!mapping || !has_port(mapping, &flow, key) || !is_reclaimable(mapping, &flow, now) ||
	    !win_reclaim(mapping))
		return false;
	delete_mapping(mapping, &flow, key);
	return true;
}

#endif

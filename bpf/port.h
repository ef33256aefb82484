/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds a free port of this node for a new flow, and makes the flow's mapping
 */
#ifndef SALLYPORT_PORT_H
#define SALLYPORT_PORT_H

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_EGRESS_IPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pool_key);
	__type(value, struct pool);
} pools SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_EGRESS_IPS);
	__type(key, struct pool_key);
	__type(value, struct pool_pressure);
} pool_pressures SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} pressures SEC(".maps");

/*
 * Reports to the agent that a pool runs low, while flows still find ports. The agent then requests more ports from the
 * operator. Two CPUs may report at the same time, which does no harm.
 */
static __noinline void report_pressure(const struct flow_key *port, __u32 tries, bool is_refused, __u64 now)
{
	struct pool_key key = { .address = port->source, .purpose = POOL_EGRESS };
	struct pool_pressure *known = bpf_map_lookup_elem(&pool_pressures, &key), first = { .refused = is_refused };
	struct port_pressure *record;

	if (!known) {
		bpf_map_update_elem(&pool_pressures, &key, &first, BPF_NOEXIST);
		known = bpf_map_lookup_elem(&pool_pressures, &key);
		if (!known)
			return;
	} else if (is_refused) {
		__sync_fetch_and_add(&known->refused, 1);
	}
	if (known->reported_ns && known->reported_ns + pressure_interval_ns > now)
		return;
	known->reported_ns = now;
	record = bpf_ringbuf_reserve(&pressures, sizeof(*record), 0);
	if (!record)
		return;
	record->time_ns = now;
	record->port = *port;
	record->tries = tries;
	record->refused = known->refused;
	bpf_ringbuf_submit(record, 0);
}

/*
 * One port in four of each block is kept for pods with few flows of the address, so that no other pod can take all ports. For
 * a pod with few flows, the first tries are among all ports of the pool, the later ones among the kept ports. For other pods,
 * all tries are among the ports that are not kept.
 */
static __always_inline __u16 suit_port(__u16 port, bool has_few, __u32 random, int try)
{
	if (has_few)
		return try < CROWDED_TRIES ? port : port | KEPT_PORT;
	if ((port & KEPT_PORT) == KEPT_PORT)
		return port - 1 - (random >> 16) % KEPT_PORT;
	return port;
}

/* Packets from outside to such a port are for the Service. Not static, because take_port() asks in a loop. */
__noinline int is_port_of_service(const struct flow_key *port)
{
	struct service_key key;

	return port && find_service(&port->source, port->source_port, port->protocol, &key) ? 1 : 0;
}

/*
 * Takes a port of this node towards one destination. Each try is random over all ports that the node owns. Trying one port
 * after the other would make ports guessable (RFC 6056) and crowd flows together.
 */
static __noinline enum verdict take_port(const struct flow_key *flow, struct flow_key *key, __u32 purpose, bool has_few,
					 __u64 now)
{
	struct pool_key pool_key = { .address = key->source, .purpose = purpose };
	struct pool *pool = bpf_map_lookup_elem(&pools, &pool_key);
	enum verdict verdict = DROP_NO_FREE_PORT;
	__u32 count = pool ? pool->count : 0, tries = 0;
	int error;	/* not long: before 6.4 a map's result fills half a register, and would never equal -EEXIST */
	bool is_taken;

	for (int i = 0; i < PORT_TRIES; i++) {
		__u32 random = random_u32();
		__u32 block;
		__u16 port;

		if (!pool || count == 0)
			break;
		block = pool->blocks[((random >> PORT_BLOCK_BITS) % count) & (PORT_BLOCKS - 1)];
		port = block << PORT_BLOCK_BITS | (random & ((1 << PORT_BLOCK_BITS) - 1));
		key->source_port = bpf_htons(suit_port(port, has_few, random, i));
		is_taken = replaces_kube_proxy && is_port_of_service(key);
		error = is_taken ? -EEXIST : bpf_map_update_elem(&ports, key, flow, BPF_NOEXIST);
		if (error == -EEXIST && !is_taken && reclaim(key, now))
			error = bpf_map_update_elem(&ports, key, flow, BPF_NOEXIST);
		if (error != -EEXIST) {
			verdict = error ? DROP_TABLE_FULL : CONTINUE;
			break;
		}
		tries++;
	}
	if (purpose == POOL_EGRESS && (tries >= CROWDED_TRIES || verdict == DROP_NO_FREE_PORT))
		report_pressure(key, tries, verdict == DROP_NO_FREE_PORT, now);
	return verdict;
}

/* Gives the port back if another CPU has been faster with the same flow, or is still deleting its old mapping. */
static __noinline enum verdict insert_mapping(const struct flow_key *flow, const struct flow_key *port, __u64 policy,
					      __u32 purpose, __u64 now)
{
	struct mapping mapping = {
		.egress_ip = port->source,
		.egress_port = port->source_port,
		.masqueraded = purpose == POOL_MASQUERADE,
		.is_of_client = replaces_kube_proxy && !bpf_map_lookup_elem(&pods, &flow->source),
		.policy = policy,
		.created_ns = now,
		.last_outward_ns = now,
	};
	int error = bpf_map_update_elem(&mappings, flow, &mapping, BPF_NOEXIST);

	if (!error) {
		count_flow(&flow->source, &mapping);
		return CONTINUE;
	}
	bpf_map_delete_elem(&ports, port);
	return error == -EEXIST ? CONTINUE : DROP_TABLE_FULL;
}

static __noinline __u32 flows_of(const struct address *pod, const struct address *egress_ip, __u32 purpose)
{
	struct pod_flows_key key;
	__u32 *count;

	fill_pod_flows_key(&key, pod, egress_ip, purpose == POOL_MASQUERADE);
	count = bpf_map_lookup_elem(&pod_flows, &key);
	return count && (__s32)*count > 0 ? *count : 0;
}

/*
 * Flows that have expired count until the agent's sweep. So the program tells the agent when three of four flows that the
 * pod may have are in use, and the agent sweeps at once.
 */
static __always_inline bool is_at_limit(const struct flow_key *port, __u32 flows, __u64 now)
{
	if (!max_ports_per_pod || flows < max_ports_per_pod - max_ports_per_pod / 4)
		return false;
	report_pressure(port, 0, false, now);
	return flows >= max_ports_per_pod;
}

/* Adds a flow's mapping, with a port that is free towards the flow's destination. */
__noinline enum verdict make_mapping(const struct flow_key *flow, const struct address *egress_ip, __u64 policy,
				     __u32 purpose, __u64 now)
{
	struct flow_key own_flow, port;
	enum verdict verdict;
	__u32 flows;

	if (!flow || !egress_ip)
		return DROP_INTERNAL;
	own_flow = *flow;
	port = own_flow;
	port.source = *egress_ip;
	flows = flows_of(&own_flow.source, &port.source, purpose);
	if (purpose == POOL_EGRESS && is_at_limit(&port, flows, now))
		return DROP_POD_LIMIT;
	verdict = take_port(&own_flow, &port, purpose, flows < FEW_FLOWS, now);
	return verdict == CONTINUE ? insert_mapping(&own_flow, &port, policy, purpose, now) : verdict;
}

#endif

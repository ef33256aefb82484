/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stages of sweep: it deletes expired mappings that no flow has reclaimed
 *
 * A node with ever new destinations uses most ports only once, so its tables would fill up. The agent reads the
 * tables, and hands the entries that it saw to this program as a packet of struct sweep_record. Only the program deletes,
 * under the lock that packets take: an entry may have changed since the agent read it.
 */
#ifndef SALLYPORT_SWEEP_H
#define SALLYPORT_SWEEP_H

static __noinline enum sweep_answer sweep_mapping(const struct flow_key *flow)
{
	struct mapping *mapping = bpf_map_lookup_elem(&mappings, flow);
	struct flow_key key;

	if (!mapping)
		return SWEPT_REMOVED;
	if ((!is_expired(mapping, flow, now_ns()) && !is_abandoned(mapping, flow)) || !win_reclaim(mapping))
		return SWEPT_KEPT;
	fill_port_key(&key, mapping, flow);
	delete_mapping(mapping, flow, &key);
	return SWEPT_REMOVED;
}

/*
 * If a port has no mapping, a CPU is adding or deleting it right now, which takes microseconds. If the port is still there
 * a sweep later, it is an orphan.
 */
static __noinline enum sweep_answer sweep_port(const struct flow_key *key, bool was_orphan)
{
	struct flow_key *taken = bpf_map_lookup_elem(&ports, key), flow;
	struct mapping *mapping;

	if (!taken)
		return SWEPT_REMOVED;
	flow = *taken;
	mapping = bpf_map_lookup_elem(&mappings, &flow);
	if (mapping && has_port(mapping, &flow, key))
		return SWEPT_KEPT;
	if (!was_orphan)
		return SWEPT_ORPHAN;
	bpf_map_delete_elem(&ports, key);
	return SWEPT_REMOVED;
}

__noinline int sweep_one(struct __sk_buff *skb, __u32 offset)
{
	struct sweep_record record;
	enum sweep_answer answer;

	if (bpf_skb_load_bytes(skb, offset, &record, sizeof(record)))
		return 0;
	if (record.task == SWEEP_MAPPING)
		answer = sweep_mapping(&record.entry);
	else if (record.task == SWEEP_TAKEN)
		answer = reclaim(&record.entry, now_ns()) ? SWEPT_REMOVED : SWEPT_KEPT;
	else
		answer = sweep_port(&record.entry, record.task == SWEEP_ORPHAN);
	bpf_skb_store_bytes(skb, offset + offsetof(struct sweep_record, answer), &answer, sizeof(record.answer), 0);
	return 0;
}

static __noinline enum verdict sweep_records(struct __sk_buff *skb)
{
	for (__u32 i = 0; i < SWEEP_RECORDS; i++) {
		__u32 offset = ETH_HLEN + i * sizeof(struct sweep_record);

		if (offset >= skb->len)
			break;
		sweep_one(skb, offset);
	}
	return CONTINUE;
}

#endif

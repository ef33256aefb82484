/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The sweep: what nobody wants any more is judged and removed as if somebody wanted it
 *
 * A node that talks to ever new destinations wants most ports never again, and its tables would fill up. The agent reads
 * them and hands in what it saw, as a packet of struct sweep_record in a run of its own; the program hangs on no device.
 * Only in here an entry is removed under the lock that packets take: what the agent has read is old when it acts on it.
 */
#ifndef SALLYPORT_SWEEP_H
#define SALLYPORT_SWEEP_H

static __noinline enum sweep_answer sweep_mapping(const struct flow_key *flow)
{
	struct mapping *mapping = bpf_map_lookup_elem(&mappings, flow);
	struct flow_key key;

	if (!mapping)
		return SWEPT_REMOVED;
	if (!is_expired(mapping, flow->protocol, now_ns()) || !win_reclaim(mapping))
		return SWEPT_KEPT;
	fill_port_key(&key, mapping, flow);
	delete_mapping(flow, &key);
	return SWEPT_REMOVED;
}

/*
 * A port without its mapping is one that a CPU is just making or removing, for which a few microseconds are enough; or an
 * orphan, if it is still there a sweep later.
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

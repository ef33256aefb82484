/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is left of a mapping that is deleted, for the agent's NAT log
 *
 * The CPU that has won the right to delete a mapping makes the record, so each mapping has exactly one. Records wait in the
 * ring, also while no agent runs. If the ring is full, the record is lost and counted, and the packet goes on.
 */
#ifndef SALLYPORT_FLOW_END_H
#define SALLYPORT_FLOW_END_H

/* 30,840 records of 136 bytes. Without `flow_log`, it is not created. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} flow_ends SEC(".maps");

/* At 0: how many records were lost. At 1: how many of these the agent has told; it alone writes that. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} lost_flow_ends SEC(".maps");

struct flow_end *unused_flow_end __attribute__((unused));

static __always_inline void count_lost_end(void)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&lost_flow_ends, &key);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/*
 * Call it before the mapping is deleted, because its memory may be another flow's afterwards. Inline, because the longest
 * chain of calls that deletes a mapping has no stack left for one more.
 */
static __always_inline void record_end(const struct mapping *mapping, const struct flow_key *flow)
{
	struct flow_end *end = bpf_ringbuf_reserve(&flow_ends, sizeof(*end), 0);

	if (!end)
		return count_lost_end();
	end->flow = *flow;
	end->egress_ip = mapping->egress_ip;
	end->egress_port = mapping->egress_port;
	end->state = mapping->state;
	end->reserved = 0;
	end->reserved2 = 0;
	end->policy = mapping->policy;
	end->created_ns = mapping->created_ns;
	end->last_outward_ns = mapping->last_outward_ns;
	end->last_inward_ns = mapping->last_inward_ns;
	end->ended_ns = now_ns();
	end->packets_out = mapping->packets_out;
	end->packets_in = mapping->packets_in;
	end->bytes_out = mapping->bytes_out;
	end->bytes_in = mapping->bytes_in;
	bpf_ringbuf_submit(end, 0);
}

#endif

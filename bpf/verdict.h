/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of every journey: counts the verdict, reports a drop, and turns the verdict into an action of tc
 */
#ifndef SALLYPORT_VERDICT_H
#define SALLYPORT_VERDICT_H

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PROGRAMS * VERDICTS);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} drops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct drop_budget);
} drop_budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_drop_key);
	__type(value, __u64);
} policy_drops SEC(".maps");

/* BTF has a type only if a variable has it. These are of types that only a ring buffer or a packet carries. */
struct drop *unused_drop __attribute__((unused));
struct port_pressure *unused_pressure __attribute__((unused));
struct sweep_record *unused_sweep_record __attribute__((unused));

/*
 * And these are enums of which the programs use only the constants. User space reads the names of the constants from BTF.
 */
union shared_enums {
	enum limits limits;
	enum link_probe link_probe;
	enum tunnel tunnel;
	enum cluster_kind cluster_kind;
	enum client_access client_access;
	enum rule_action rule_action;
	enum network_action network_action;
	enum pool_purpose pool_purpose;
	enum mapping_state mapping_state;
	enum sweep_task sweep_task;
	enum sweep_answer sweep_answer;
	enum departure departure;
} *unused_enums __attribute__((unused));

static __always_inline bool may_report(__u64 now)
{
	__u32 key = 0;
	struct drop_budget *budget = bpf_map_lookup_elem(&drop_budgets, &key);

	if (!budget)
		return false;
	if (now - budget->since_ns >= drop_window_ns) {
		budget->since_ns = now;
		budget->records = 0;
	}
	return budget->records++ < drop_records;
}

/* In a flood, or if the ring is full, records are lost. Counts are never lost. */
static __noinline void report_drop(struct __sk_buff *skb, const struct packet *packet, enum program program,
				   enum verdict verdict)
{
	__u64 now = now_ns();
	struct drop *drop;

	if (!may_report(now))
		return;
	drop = bpf_ringbuf_reserve(&drops, sizeof(*drop), 0);
	if (!drop)
		return;
	drop->time_ns = now;
	drop->flow = packet->flow;
	drop->program = program;
	drop->verdict = verdict;
	drop->ifindex = device_of(skb);
	drop->length = skb->len;
	bpf_ringbuf_submit(drop, 0);
}

/* Counts why a new flow of a policy is dropped, for the operator's Events and the agent's metrics. */
static __noinline enum verdict refuse_flow(__u64 policy, const struct address *egress_ip, enum verdict verdict)
{
	struct policy_drop_key key = { .policy = policy, .egress_ip = *egress_ip, .verdict = verdict };
	__u64 *count = bpf_map_lookup_elem(&policy_drops, &key), one = 1;

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&policy_drops, &key, &one, BPF_NOEXIST);
	return verdict;
}

/*
 * What passes goes on to the next program of this hook (TC_ACT_UNSPEC), which may be of another product. What was sent has
 * been told its device by a redirecting helper.
 */
static __always_inline int leave(struct __sk_buff *skb, const struct packet *packet, enum program program,
				 enum verdict verdict)
{
	__u32 index = program * VERDICTS + verdict;
	struct counter *counter = bpf_map_lookup_elem(&counters, &index);

	record_verdict(verdict);
	if (traced_flow.protocol)
		note_passage(skb, packet, program, verdict);
	if (counter) {
		counter->packets++;
		counter->bytes += skb->len;
	}
	if (verdict >= DROP_MALFORMED) {
		report_drop(skb, packet, program, verdict);
		return TC_ACT_SHOT;
	}
	if (verdict == TAKEN_PROBE_ANSWER)
		return TC_ACT_SHOT;
	return verdict >= SENT_TO_POD ? TC_ACT_REDIRECT : TC_ACT_UNSPEC;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs ask the kernel: the time, random numbers, the device, the tunnel's key, sockets and routes
 *
 * In a simulation (config.h), the map `simulated_run` answers instead. The verifier removes the half of each function that is
 * not used.
 */
#ifndef SALLYPORT_MACHINE_H
#define SALLYPORT_MACHINE_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct simulated_run);
} simulated_run SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_SIMULATED_ROUTES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cluster_key);
	__type(value, struct simulated_route);
} simulated_routes SEC(".maps");

static __always_inline struct simulated_run *this_run(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&simulated_run, &key);
}

static __always_inline __u64 now_ns(void)
{
	struct simulated_run *run;

	if (!simulated_clock)
		return bpf_ktime_get_ns();
	run = this_run();
	return run ? run->now_ns : 0;
}

/*
 * The time of the last tick, up to 10 ms ago. To read the clock takes as long as a lookup. Enough for lifetimes and silences. Not for
 * the difference to a time that another program may have noted since.
 */
static __always_inline __u64 recent_ns(void)
{
	return simulated_clock ? now_ns() : bpf_ktime_get_coarse_ns();
}

/* A simulation draws from splitmix64, whose state it seeds. */
static __always_inline __u32 random_u32(void)
{
	struct simulated_run *run;
	__u64 mixed;

	if (!simulated_host)
		return bpf_get_prandom_u32();
	run = this_run();
	if (!run)
		return 0;
	run->random += 0x9e3779b97f4a7c15ULL;
	mixed = run->random;
	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
	return (mixed ^ (mixed >> 31)) >> 32;
}

/* The device that the packet came by. */
static __always_inline __u32 device_of(struct __sk_buff *skb)
{
	struct simulated_run *run;

	if (!simulated_host)
		return skb->ifindex;
	run = this_run();
	return run ? run->ifindex : 0;
}

static __always_inline bool has_simulated_socket(void)
{
	struct simulated_run *run = this_run();

	return run && run->has_own_socket;
}

/*
 * Routes of a simulation depend on the destination alone, and every neighbour is known. Its frames have no MAC addresses.
 */
static __noinline long look_up_simulated_route(struct bpf_fib_lookup *fib, const struct address *destination)
{
	struct cluster_key key = { .prefix_length = 128, .address = *destination };
	struct simulated_route *route = bpf_map_lookup_elem(&simulated_routes, &key);
	bool is_too_long;

	if (!route)
		return BPF_FIB_LKUP_RET_NOT_FWDED;
	is_too_long = fib->tot_len > route->mtu;
	fib->ifindex = route->ifindex;
	fib->mtu_result = route->mtu;
	return is_too_long ? BPF_FIB_LKUP_RET_FRAG_NEEDED : BPF_FIB_LKUP_RET_SUCCESS;
}

static __always_inline long look_up_route(struct __sk_buff *skb, struct bpf_fib_lookup *fib,
					  const struct address *destination, __u32 flags)
{
	if (simulated_host)
		return look_up_simulated_route(fib, destination);
	return bpf_fib_lookup(skb, fib, sizeof(*fib), flags);
}

/* ---- what a simulation or a dry run learns ---- */

static __always_inline struct simulated_run *observed_run(void)
{
	return simulated_host || dry_run ? this_run() : NULL;
}

static __always_inline void record_departure(enum departure departure, __u32 ifindex)
{
	struct simulated_run *run = observed_run();

	if (!run)
		return;
	run->departure = departure;
	run->sent_ifindex = ifindex;
}

static __always_inline void record_tunnel(const struct address *node, __u32 vni)
{
	struct simulated_run *run = observed_run();

	if (!run)
		return;
	run->sent_node = *node;
	run->sent_vni = vni;
}

static __always_inline void record_verdict(enum verdict verdict)
{
	struct simulated_run *run = observed_run();

	if (run)
		run->verdict = verdict;
}

#endif

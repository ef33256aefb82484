/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The translation: mappings, whose life cycle they have, and the rewriting of packets
 *
 * `mappings` holds a flow's state under the pod's own view of it; `ports` leads back to it from the world's view,
 * and an entry of `ports` is what makes a port taken towards one destination. It is made first and removed last, so
 * that no two flows ever share a port. An old mapping is taken apart by whoever wants its port, and by the agent's sweep.
 * Whoever takes one apart has won it under its lock; to all others it is as good as gone. An entry that is removed may be
 * another's before its reader is done: what is read is copied first, and used if mapping and port name each other.
 */
#ifndef SALLYPORT_NAT_H
#define SALLYPORT_NAT_H

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
	__type(value, struct pressure);
} pressures SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} pressure SEC(".maps");

enum {
	STATE_FIN_EITHER = STATE_FIN_OUT | STATE_FIN_IN,
	STATE_CLOSED = STATE_FIN_OUT_ACKED | STATE_FIN_IN_ACKED,
	MAX_TCP_OPTIONS = 40,
	/*
	 * Bytes that a FIN may be away from what the pod acknowledged: in flight, or sent again. More is in flight on long fast paths
	 * only, whose FIN is passed over then. Of 512 forged ones one is that near.
	 */
	FIN_DISTANCE = 4 << 20,
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
};

/* RFC 5382 REQ-5 and RFC 7857: a reset or a FIN makes a connection transitory, it does not end it. */
static __always_inline __u64 lifetime_ns(const struct mapping *mapping, __u8 protocol)
{
	if (protocol == IPPROTO_UDP)
		return udp_ns;
	if (protocol != IPPROTO_TCP)
		return icmp_ns;
	if ((mapping->state & STATE_ESTABLISHED) && !(mapping->state & (STATE_FIN_EITHER | STATE_RESET)))
		return tcp_established_ns;
	return tcp_transitory_ns;
}

/* Nothing that comes now belongs to it any more. */
static __always_inline bool is_expired(const struct mapping *mapping, __u8 protocol, __u64 now)
{
	__u64 last = mapping->last_outward_ns;

	if (mapping->last_inward_ns > last)
		last = mapping->last_inward_ns;
	return last + lifetime_ns(mapping, protocol) < now;
}

/*
 * Another flow may have its port: it is expired; or closed cleanly, and the far end keeps no state
 * (the pod closed first) or has had time to forget it (TIME_WAIT).
 */
static __noinline bool is_reclaimable(const struct mapping *mapping, __u8 protocol, __u64 now)
{
	if (mapping->closed_ns && (mapping->state & STATE_POD_CLOSED_FIRST))
		return true;
	if (mapping->closed_ns && mapping->closed_ns + tcp_time_wait_ns < now)
		return true;
	return is_expired(mapping, protocol, now);
}

/* At most one CPU wins the right to take a mapping apart: the lock is all that stops two flows on one port. */
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

/* Is this the port of the flow's mapping? A port that another flow took in the mean time is not. */
static __noinline bool has_port(const struct mapping *mapping, const struct flow_key *flow, const struct flow_key *key)
{
	struct flow_key own;

	fill_port_key(&own, mapping, flow);
	return same_flow(&own, key);
}

/* The mapping goes first: a port without one is not taken apart by others meanwhile. For the one that has won it. */
static __noinline void take_apart(const struct flow_key *flow, const struct flow_key *key)
{
	struct flow_key *taken;

	bpf_map_delete_elem(&mappings, flow);
	taken = bpf_map_lookup_elem(&ports, key);
	if (taken && same_flow(taken, flow))
		bpf_map_delete_elem(&ports, key);
}

/* Forgets an old mapping of this very flow, so that the flow can start anew by today's policy. */
static __noinline void retire(struct mapping *mapping, const struct flow_key *flow)
{
	struct flow_key key;

	if (!win_reclaim(mapping))
		return;
	fill_port_key(&key, mapping, flow);
	take_apart(flow, &key);
}

/* The port is taken. If its flow is over, takes that apart; then the port is free, for whoever comes first. */
static __noinline bool reclaim(const struct flow_key *key, __u64 now)
{
	struct flow_key *taken = bpf_map_lookup_elem(&ports, key), flow;
	struct mapping *mapping;

	if (!taken)
		return true;
	flow = *taken;
	mapping = bpf_map_lookup_elem(&mappings, &flow);
	/* Without its mapping: another CPU is just making or removing it. The agent's sweep finds what is left over. */
	if (!mapping || !has_port(mapping, &flow, key) || !is_reclaimable(mapping, flow.protocol, now) ||
	    !win_reclaim(mapping))
		return false;
	take_apart(&flow, key);
	return true;
}

/*
 * Asks for more ports, early: this flow may have found one yet. The agent turns it into a demand. Two CPUs may both find
 * that it is time; the second record does no harm.
 */
static __noinline void press(const struct pool_key *key, __u32 tries, bool is_refused, __u64 now)
{
	struct pressure *known = bpf_map_lookup_elem(&pressures, key), first = { .refused = is_refused };
	struct port_pressure record = { .time_ns = now, .address = key->address, .tries = tries };

	if (!known) {
		bpf_map_update_elem(&pressures, key, &first, BPF_NOEXIST);
		known = bpf_map_lookup_elem(&pressures, key);
		if (!known)
			return;
	} else if (is_refused) {
		__sync_fetch_and_add(&known->refused, 1);
	}
	if (known->said_ns && known->said_ns + pressure_interval_ns > now)
		return;
	known->said_ns = now;
	record.refused = known->refused;
	bpf_ringbuf_output(&pressure, &record, sizeof(record), 0);
}

/*
 * Takes a port of this node's towards one destination. Tries are independent and random over all that the node owns:
 * a walk would make ports guessable (RFC 6056) and crowd flows together.
 */
static __noinline enum verdict take_port(const struct flow_key *flow, struct flow_key *key, __u32 purpose, __u64 now)
{
	struct pool_key pool_key = { .address = key->source, .purpose = purpose };
	struct pool *pool = bpf_map_lookup_elem(&pools, &pool_key);
	enum verdict verdict = DROP_NO_FREE_PORT;
	__u32 count = pool ? pool->count : 0, tries = 0;
	int error;	/* before 6.4 a map's answer fills half a register: of a long, -EEXIST would never be equal */

	for (int i = 0; i < PORT_TRIES; i++) {
		__u32 random = bpf_get_prandom_u32();
		__u32 block;
		__u16 port;

		if (!pool || count == 0)
			break;
		block = pool->blocks[((random >> PORT_BLOCK_BITS) % count) & (PORT_BLOCKS - 1)];
		port = block << PORT_BLOCK_BITS | (random & ((1 << PORT_BLOCK_BITS) - 1));
		key->source_port = bpf_htons(port);
		error = bpf_map_update_elem(&ports, key, flow, BPF_NOEXIST);
		if (error == -EEXIST && reclaim(key, now))
			error = bpf_map_update_elem(&ports, key, flow, BPF_NOEXIST);
		if (error != -EEXIST) {
			verdict = error ? DROP_TABLE_FULL : CONTINUE;
			break;
		}
		tries++;
	}
	if (purpose == POOL_EGRESS && (tries >= CROWDED_TRIES || verdict == DROP_NO_FREE_PORT))
		press(&pool_key, tries, verdict == DROP_NO_FREE_PORT, now);
	return verdict;
}

/* If another CPU was faster with the same flow, or is still taking its old one apart, the port goes back. */
static __noinline enum verdict insert_mapping(const struct flow_key *flow, const struct flow_key *port, __u64 policy,
					      __u32 purpose, __u64 now)
{
	struct mapping mapping = {
		.egress_ip = port->source,
		.egress_port = port->source_port,
		.masqueraded = purpose == POOL_MASQUERADE,
		.policy = policy,
		.created_ns = now,
		.last_outward_ns = now,
	};
	int error = bpf_map_update_elem(&mappings, flow, &mapping, BPF_NOEXIST);

	if (!error)
		return CONTINUE;
	bpf_map_delete_elem(&ports, port);
	return error == -EEXIST ? CONTINUE : DROP_TABLE_FULL;
}

/* Makes a flow's mapping, with a port that is free towards its destination. */
__noinline enum verdict make_mapping(const struct flow_key *flow, const struct address *egress_ip, __u64 policy,
				     __u32 purpose)
{
	struct flow_key own_flow, port;
	__u64 now = bpf_ktime_get_ns();
	enum verdict verdict;

	if (!flow || !egress_ip)
		return DROP_INTERNAL;
	own_flow = *flow;
	port = own_flow;
	port.source = *egress_ip;
	verdict = take_port(&own_flow, &port, purpose, now);
	return verdict == CONTINUE ? insert_mapping(&own_flow, &port, policy, purpose, now) : verdict;
}

static __always_inline bool is_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) >= 0;
}

/* Anyone can forge a FIN, as a reset; one that is passed over makes a mapping live longer, never shorter. */
static __always_inline bool is_credible_fin(const struct mapping *mapping, const struct packet *packet)
{
	return (packet->tcp_flags & TCP_FIN) && mapping->acknowledged &&
	       packet->sequence - mapping->acknowledged + FIN_DISTANCE <= 2 * FIN_DISTANCE;
}

static __always_inline void note_closed(struct mapping *mapping, __u64 now)
{
	if (!mapping->closed_ns && (mapping->state & STATE_CLOSED) == STATE_CLOSED)
		mapping->closed_ns = now;
}

/*
 * What an outward packet says about its flow. Two CPUs may handle the two directions of one connection at a time:
 * a bit that is lost in such a race makes a mapping live longer, never shorter.
 */
static __always_inline void track_outward(struct mapping *mapping, const struct packet *packet, __u32 length,
					  __u64 now)
{
	mapping->packets_out++;
	mapping->bytes_out += length;
	/* RFC 7857 section 4: an ICMP error refreshes nothing. */
	if (packet->is_icmp_error)
		return;
	mapping->last_outward_ns = now;
	if (packet->flow.protocol != IPPROTO_TCP || packet->is_later_fragment)
		return;
	if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_ACK && (mapping->state & STATE_REPLIED) &&
	    !(mapping->state & STATE_ESTABLISHED))
		mapping->state |= STATE_ESTABLISHED;
	if (packet->tcp_flags & TCP_ACK)
		mapping->acknowledged = packet->acknowledged;
	if (packet->tcp_flags & TCP_RST)
		mapping->state |= STATE_RESET;
	if ((packet->tcp_flags & TCP_FIN) && !(mapping->state & STATE_FIN_OUT)) {
		mapping->fin_out_end = packet->sequence_end;
		mapping->state |= STATE_FIN_OUT | (mapping->state & STATE_FIN_IN ? 0 : STATE_POD_CLOSED_FIRST);
	}
	if ((mapping->state & STATE_FIN_IN) && (packet->tcp_flags & TCP_ACK) &&
	    is_after(packet->acknowledged, mapping->fin_in_end)) {
		mapping->state |= STATE_FIN_IN_ACKED;
		note_closed(mapping, now);
	}
}

/*
 * The same for what comes in. A reset from outside changes nothing: anyone can forge one (RFC 7857 section 2).
 * Where both sides closed at once, the far end has a TIME_WAIT too, and the pod does not count as the first.
 */
static __always_inline void track_inward(struct mapping *mapping, const struct packet *packet, __u32 length,
					 __u64 now)
{
	mapping->packets_in++;
	mapping->bytes_in += length;
	if (packet->is_icmp_error)
		return;
	mapping->last_inward_ns = now;
	if (!(mapping->state & STATE_REPLIED))
		mapping->state |= STATE_REPLIED;
	if (packet->flow.protocol != IPPROTO_TCP || packet->is_later_fragment || (packet->tcp_flags & TCP_RST))
		return;
	if (!(mapping->state & STATE_FIN_IN) && is_credible_fin(mapping, packet)) {
		mapping->fin_in_end = packet->sequence_end;
		mapping->state |= STATE_FIN_IN;
		if (!is_after(packet->acknowledged, mapping->fin_out_end))
			mapping->state &= ~STATE_POD_CLOSED_FIRST;
	}
	if ((mapping->state & STATE_FIN_OUT) && (packet->tcp_flags & TCP_ACK) &&
	    is_after(packet->acknowledged, mapping->fin_out_end)) {
		mapping->state |= STATE_FIN_OUT_ACKED;
		note_closed(mapping, now);
	}
}

/* Which end of a packet is rewritten: the source when it leaves, the destination when it returns. */
enum side {
	SIDE_SOURCE,
	SIDE_DESTINATION,
};

struct rewrite {
	struct address from;
	struct address to;
	__be16 from_port;
	__be16 to_port;
	__u32 side;			/* enum side */
};

static __always_inline __u32 ipv4_field(__u32 side)
{
	return side == SIDE_SOURCE ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr);
}

static __always_inline __u32 ipv6_field(__u32 side)
{
	return side == SIDE_SOURCE ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr);
}

/* Difference that the address makes to a checksum that covers it. */
static __always_inline __s64 address_difference(const struct rewrite *rewrite)
{
	return bpf_csum_diff((__be32 *)rewrite->from.words, 16, (__be32 *)rewrite->to.words, 16, 0);
}

/* Rewrites the address in the IP header that starts at `offset`, and IPv4's own checksum. */
static __always_inline long rewrite_address(struct __sk_buff *skb, __u8 family, __u32 offset,
					    const struct rewrite *rewrite)
{
	if (family == 6)
		return bpf_skb_store_bytes(skb, offset + ipv6_field(rewrite->side), &rewrite->to, 16, 0);
	if (bpf_l3_csum_replace(skb, offset + offsetof(struct iphdr, check), rewrite->from.words[3],
				rewrite->to.words[3], 4))
		return -1;
	return bpf_skb_store_bytes(skb, offset + ipv4_field(rewrite->side), &rewrite->to.words[3], 4, 0);
}

static __always_inline __u32 port_field(__u8 protocol, __u32 side)
{
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return offsetof(struct icmphdr, un.echo.id);
	return side == SIDE_SOURCE ? 0 : 2;
}

static __always_inline __u32 checksum_field(__u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return offsetof(struct tcphdr, check);
	if (protocol == IPPROTO_UDP)
		return offsetof(struct udphdr, check);
	return offsetof(struct icmphdr, checksum);
}

/* An IPv4 address is one word, which the kernel adds up by itself. */
static __always_inline long replace_in_pseudo_header(struct __sk_buff *skb, __u8 family, __u32 checksum,
						     const struct rewrite *rewrite, __u64 flags)
{
	if (family == 4)
		return bpf_l4_csum_replace(skb, checksum, rewrite->from.words[3], rewrite->to.words[3],
					   flags | BPF_F_PSEUDO_HDR | 4);
	return bpf_l4_csum_replace(skb, checksum, 0, address_difference(rewrite), flags | BPF_F_PSEUDO_HDR);
}

/* TCP, UDP and ICMPv6 checksums cover the addresses (the pseudo header), ICMP's does not. */
static __always_inline long rewrite_transport(struct __sk_buff *skb, const struct packet *packet,
					      const struct rewrite *rewrite)
{
	__u8 protocol = packet->flow.protocol;
	__u32 checksum = packet->l4_offset + checksum_field(protocol);
	__u64 mangled = protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;

	if (protocol != IPPROTO_ICMP &&
	    replace_in_pseudo_header(skb, packet->family, checksum, rewrite, mangled))
		return -1;
	if (rewrite->from_port == rewrite->to_port)
		return 0;
	if (bpf_l4_csum_replace(skb, checksum, rewrite->from_port, rewrite->to_port, mangled | 2))
		return -1;
	return bpf_skb_store_bytes(skb, packet->l4_offset + port_field(protocol, rewrite->side), &rewrite->to_port, 2,
				   0);
}

/*
 * An ICMP error names the flow's packet inside; there the rewritten end is the opposite one (RFC 5508 REQ-4).
 * The ICMP checksum covers the embedded bytes. An embedded IPv4 checksum is kept right, which changes nothing for the
 * sum of the words around it; an embedded transport checksum may lie beyond what was quoted and is left as it is.
 */
static __noinline long rewrite_embedded(struct __sk_buff *skb, const struct packet *packet,
					const struct rewrite *rewrite)
{
	struct rewrite inner = *rewrite;
	__u32 checksum = packet->l4_offset + offsetof(struct icmphdr, checksum);
	__s64 difference;
	__u32 field;

	inner.side = rewrite->side == SIDE_SOURCE ? SIDE_DESTINATION : SIDE_SOURCE;
	if (rewrite_address(skb, packet->family, packet->inner_l3_offset, &inner))
		return -1;
	/* IPv4: address and header checksum cancel out. IPv6: the address counts in full. */
	difference = packet->family == 6 ? address_difference(rewrite) : 0;
	if (packet->family == 6 && bpf_l4_csum_replace(skb, checksum, 0, difference, 0))
		return -1;
	field = packet->inner_l4_offset + port_field(packet->flow.protocol, inner.side);
	if (bpf_l4_csum_replace(skb, checksum, rewrite->from_port, rewrite->to_port, 2))
		return -1;
	if (bpf_skb_store_bytes(skb, field, &rewrite->to_port, 2, 0))
		return -1;
	/* The outer header: ICMPv6's checksum covers it, ICMP's does not. */
	if (packet->family == 6 &&
	    bpf_l4_csum_replace(skb, checksum, 0, address_difference(rewrite), BPF_F_PSEUDO_HDR))
		return -1;
	return rewrite_address(skb, packet->family, L3_OFFSET, rewrite);
}

static __noinline enum verdict rewrite_packet(struct __sk_buff *skb, struct packet *packet,
					      const struct rewrite *rewrite)
{
	long error;

	if (packet->is_icmp_error) {
		error = rewrite_embedded(skb, packet, rewrite);
	} else {
		error = rewrite_address(skb, packet->family, L3_OFFSET, rewrite);
		if (!error && !packet->is_later_fragment)
			error = rewrite_transport(skb, packet, rewrite);
	}
	return error ? DROP_INTERNAL : CONTINUE;
}

/* The checksum adds up words of two bytes: of a value at an odd place each byte counts where the other would. */
static __always_inline void replace_mss(struct __sk_buff *skb, __u32 l4_offset, __u32 offset, __be16 old, __be16 new)
{
	bool is_odd = (offset - l4_offset) & 1;

	bpf_l4_csum_replace(skb, l4_offset + offsetof(struct tcphdr, check), is_odd ? __builtin_bswap16(old) : old,
			    is_odd ? __builtin_bswap16(new) : new, 2);
	bpf_skb_store_bytes(skb, offset, &new, 2, 0);
}

/*
 * Lowers the MSS of a SYN or SYN-ACK, so that neither side sends what would have to be fragmented. What follows the header
 * may be data (RFC 7413), and look like an option.
 */
__noinline int lower_mss(struct __sk_buff *skb, __u32 l4_offset, __u32 most)
{
	__u32 offset = l4_offset + sizeof(struct tcphdr), end;
	__u8 data_offset;

	if (bpf_skb_load_bytes(skb, l4_offset + TCP_DOFF_OFFSET, &data_offset, 1))
		return 0;
	end = l4_offset + (data_offset >> 4) * 4;
	for (int i = 0; i < MAX_TCP_OPTIONS; i++) {
		struct { __u8 kind; __u8 length; __be16 mss; } __attribute__((packed)) option;

		if (offset + 4 > end || bpf_skb_load_bytes(skb, offset, &option, sizeof(option)))
			return 0;
		if (option.kind == TCP_OPTION_END)
			return 0;
		if (option.kind == TCP_OPTION_MSS && option.length == 4) {
			if (bpf_ntohs(option.mss) > most)
				replace_mss(skb, l4_offset, offset + 2, option.mss, bpf_htons(most));
			return 0;
		}
		if (option.kind == TCP_OPTION_NOP) {
			offset++;
			continue;
		}
		if (option.length < 2)
			return 0;
		offset += option.length;
	}
	return 0;
}

/* To what the tunnel carries, or the way out. 0: it is not known, or does not matter. */
static __always_inline void clamp_mss(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	__u32 headers = sizeof(struct tcphdr) +
			(packet->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));

	if (packet->flow.protocol == IPPROTO_TCP && packet->tcp_flags & TCP_SYN && mtu > headers)
		lower_mss(skb, packet->l4_offset, mtu - headers);
}

#endif

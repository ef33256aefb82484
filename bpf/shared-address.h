/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Chained mode: the gateway's own address, which its stack uses too (docs/decisions/0021)
 *
 * The other CNI plugin masquerades with this address, and the node's sockets have it. A port towards one destination must belong
 * either to the stack or to a flow of ours. The stack's connection tracking decides: before the gateway forwards a flow, it adds
 * an entry there, the claim. If the stack has the port towards the same destination, the kernel refuses the entry. While the entry
 * exists, the stack takes another port.
 *
 * A claim looks as if the placeholder address had been masqueraded. No packet has that address, so no packet of the stack belongs
 * to a claim, and an entry of the stack never looks like one. A claim is no state of the flow. Any outward packet makes it again.
 */
#ifndef SALLYPORT_SHARED_ADDRESS_H
#define SALLYPORT_SHARED_ADDRESS_H

/* The kernel's. The programs look at none of their fields. They are defined, because libbpf refuses a declaration. */
struct nf_conn {
};
struct nf_conn___init {
};
union nf_inet_addr {
	__be32 words[4];
};

/* As the kernel defines it. The kernel accepts this length in all versions. */
struct bpf_ct_opts___short {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

enum nf_nat_manip_type___local {
	SOURCE_IS_TRANSLATED = 0,	/* NF_NAT_MANIP_SRC */
};

/* The kernel's include/uapi/linux/netfilter/nf_conntrack_common.h */
enum {
	CONNTRACK_CONFIRMED = 1 << 3,
	CONNTRACK_ASSURED = 1 << 2,
};

/* Kernels since 6.1 have all of them. Without them the agent leaves own_address_is_shared 0, and nothing calls them. */
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple_size,
					 struct bpf_ct_opts___short *options, __u32 options_size) __ksym __weak;
extern struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple_size,
					       struct bpf_ct_opts___short *options, __u32 options_size) __ksym __weak;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *entry) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *entry) __ksym __weak;
extern void bpf_ct_set_timeout(struct nf_conn___init *entry, __u32 milliseconds) __ksym __weak;
extern int bpf_ct_change_timeout(struct nf_conn *entry, __u32 milliseconds) __ksym __weak;
extern int bpf_ct_change_status(struct nf_conn *entry, __u32 status) __ksym __weak;
extern int bpf_ct_set_nat_info(struct nf_conn___init *entry, union nf_inet_addr *address, int port,
			       enum nf_nat_manip_type___local manip) __ksym __weak;

/* What the kernel's functions take. The tuple is the flow's, with the placeholder in the place of the node's address. */
struct claim {
	struct bpf_sock_tuple tuple;
	struct bpf_ct_opts___short options;
	__u32 tuple_length;
};

static __always_inline void fill_claim(struct claim *claim, const struct flow_key *flow)
{
	claim->options.netns_id = BPF_F_CURRENT_NETNS;
	claim->options.l4proto = flow->protocol;
	claim->tuple_length = fill_tuple(&claim->tuple, flow);
	if (is_ipv4(&flow->source)) {
		claim->tuple.ipv4.saddr = bpf_htonl(PLACEHOLDER4);
	} else {
		claim->tuple.ipv6.saddr[0] = bpf_htonl(PLACEHOLDER6_FIRST);
		claim->tuple.ipv6.saddr[1] = claim->tuple.ipv6.saddr[2] = 0;
		claim->tuple.ipv6.saddr[3] = bpf_htonl(PLACEHOLDER6_LAST);
	}
}

static __always_inline bool is_dns(const struct packet *packet)
{
	return packet->flow.destination_port == bpf_htons(DNS_PORT) || packet->flow.source_port == bpf_htons(DNS_PORT);
}

/*
 * How long the claim lasts after this packet, as long as the flow's mapping may. 0: as long as before. The last packet of a closed
 * connection has no payload, and must not make the claim last for hours again.
 */
static __always_inline __u32 claim_lifetime_ms(const struct packet *packet)
{
	__u8 flags = packet->tcp_flags;

	if (packet->is_icmp_error)
		return 0;
	if (packet->flow.protocol == IPPROTO_UDP)
		return (is_dns(packet) ? dns_unanswered_ns : udp_ns) / 1000000;
	if ((flags & (TCP_FIN | TCP_RST)) || (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return tcp_transitory_ns / 1000000;
	return packet->sequence_end != packet->sequence ? tcp_established_ns / 1000000 : 0;
}

/* Is there a claim? If its connection tracking table is full, the stack removes entries that are not assured. */
static __noinline bool renew_claim(struct __sk_buff *skb, const struct flow_key *flow, __u32 lifetime_ms)
{
	struct claim claim = {};
	struct nf_conn *entry;

	fill_claim(&claim, flow);
	entry = bpf_skb_ct_lookup(skb, &claim.tuple, claim.tuple_length, &claim.options, sizeof(claim.options));
	if (!entry)
		return false;
	if (lifetime_ms)
		bpf_ct_change_timeout(entry, lifetime_ms);
	if (lifetime_ms == tcp_established_ns / 1000000)
		bpf_ct_change_status(entry, CONNTRACK_CONFIRMED | CONNTRACK_ASSURED);
	bpf_ct_release(entry);
	return true;
}

/* The kernel refuses the entry if the stack uses the port of the address towards the same destination. */
static __noinline enum verdict make_claim(struct __sk_buff *skb, const struct flow_key *flow, __u32 lifetime_ms)
{
	union nf_inet_addr own = {};
	struct nf_conn___init *entry;
	struct nf_conn *inserted;
	struct claim claim = {};

	fill_claim(&claim, flow);
	if (is_ipv4(&flow->source))
		own.words[0] = flow->source.words[3];
	else
		__builtin_memcpy(&own, &flow->source, sizeof(own));
	entry = bpf_skb_ct_alloc(skb, &claim.tuple, claim.tuple_length, &claim.options, sizeof(claim.options));
	if (!entry)
		return DROP_TABLE_FULL;
	bpf_ct_set_timeout(entry, lifetime_ms);
	bpf_ct_set_nat_info(entry, &own, bpf_ntohs(flow->source_port), SOURCE_IS_TRANSLATED);
	inserted = bpf_ct_insert_entry(entry);
	if (!inserted)
		return DROP_PORT_IN_USE;
	bpf_ct_release(inserted);
	return CONTINUE;
}

static __always_inline bool is_shared_address(const struct address *address)
{
	struct self *own = own_address_is_shared ? this_node() : NULL;

	return own && is_own_address(own, address);
}

/* The stack has no entries for its sockets if the node does not translate at all. */
static __noinline bool is_for_own_socket(struct __sk_buff *skb, const struct flow_key *outward)
{
	struct flow_key answer;

	reverse_flow(&answer, outward);
	return has_own_socket(skb, &answer);
}

/*
 * Before a packet leaves with the node's own address: is the port ours towards this destination? `flow`: as the world sees it.
 * Connection tracking offers programs TCP and UDP only, so an echo request can get no claim.
 */
static __always_inline enum verdict claim_port(struct __sk_buff *skb, const struct packet *packet,
					       const struct flow_key *flow)
{
	__u32 lifetime_ms = claim_lifetime_ms(packet);

	if (flow->protocol != IPPROTO_TCP && flow->protocol != IPPROTO_UDP)
		return DROP_SHARED_ECHO;
	/* A claim would outlast the dry run. Whether the stack has translated a flow of its own to this port stays open. */
	if (dry_run)
		return is_for_own_socket(skb, flow) ? DROP_PORT_IN_USE : CONTINUE;
	if (renew_claim(skb, flow, lifetime_ms))
		return CONTINUE;
	if (packet->is_icmp_error || is_for_own_socket(skb, flow))
		return DROP_PORT_IN_USE;
	return make_claim(skb, flow, lifetime_ms ?: tcp_established_ns / 1000000);
}

/* A packet came for the node's own address: does it belong to a flow of ours? If not, it is the stack's. */
static __noinline bool is_claimed(struct __sk_buff *skb, const struct packet *packet)
{
	struct flow_key outward;

	if (packet->flow.protocol != IPPROTO_TCP && packet->flow.protocol != IPPROTO_UDP)
		return false;
	reverse_flow(&outward, &packet->flow);
	return renew_claim(skb, &outward, claim_lifetime_ms(packet));
}

#endif

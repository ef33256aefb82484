/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * "Fragmentation needed" and "packet too big", which path MTU discovery depends on, and "port unreachable"
 *
 * The program turns the packet itself into the answer: it cuts the payload, adds new headers in front, and sends it back. The
 * source of the answer is the destination of the packet, because the sender has a route to that address.
 */
#ifndef SALLYPORT_TOO_BIG_H
#define SALLYPORT_TOO_BIG_H

enum {
	QUOTED_TRANSPORT = 8,	/* bytes of the transport header, as RFC 792 asks */
	QUOTED_TCP = 20,	/* includes the checksum: if the device is to fill it in, the kernel refuses to cut it off */
	MAX_QUOTE = 96,		/* bytes; long extension headers are cut */
	ANSWER_TTL = 64,
	NO_PORT = 0,		/* in the place of the MTU: the answer is "port unreachable" */
};

struct answer4 {
	struct iphdr ip;
	struct icmphdr icmp;
};

struct answer6 {
	struct ipv6hdr ip;
	struct icmp6hdr icmp;
};

static __always_inline __sum16 fold(__s64 sum)
{
	__u32 folded = (__u32)sum;

	folded = (folded & 0xffff) + (folded >> 16);
	folded = (folded & 0xffff) + (folded >> 16);
	return ~folded;
}

/* Cuts the packet to the quote and makes room in front of it. Returns the sum over the quote, or a negative error. */
static __noinline __s64 make_room(struct __sk_buff *skb, const struct packet *packet, __u32 quoted, __u32 room)
{
	__u8 quote[MAX_QUOTE] = {};

	if (quoted < QUOTED_TRANSPORT || quoted > MAX_QUOTE)
		return -1;
	if (bpf_skb_load_bytes(skb, L3_OFFSET, quote, quoted))
		return -1;
	if (bpf_skb_change_tail(skb, L3_OFFSET + quoted, 0) || bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	return (__u32)bpf_csum_diff(NULL, 0, (__be32 *)quote, sizeof(quote), 0);
}

static __noinline enum verdict become_answer4(struct __sk_buff *skb, const struct packet *packet, __u32 quoted,
					       __u32 mtu)
{
	struct answer4 answer = {
		.ip = {
			.version = 4,
			.ihl = sizeof(struct iphdr) / 4,
			.tot_len = bpf_htons(sizeof(answer) + quoted),
			.ttl = ANSWER_TTL,
			.protocol = IPPROTO_ICMP,
			.saddr = packet->receiver.words[3],
			.daddr = packet->sender.words[3],
		},
		.icmp = { .type = ICMP_DEST_UNREACH, .code = mtu == NO_PORT ? ICMP_PORT_UNREACH : ICMP_FRAG_NEEDED },
	};
	__s64 sum = make_room(skb, packet, quoted, sizeof(answer));

	if (sum < 0)
		return DROP_INTERNAL;
	answer.icmp.un.frag.mtu = bpf_htons(mtu);
	answer.icmp.checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&answer.icmp, sizeof(answer.icmp), sum));
	answer.ip.check = fold(bpf_csum_diff(NULL, 0, (__be32 *)&answer.ip, sizeof(answer.ip), 0));
	if (bpf_skb_store_bytes(skb, L3_OFFSET, &answer, sizeof(answer), 0))
		return DROP_INTERNAL;
	return CONTINUE;
}

static __noinline enum verdict become_answer6(struct __sk_buff *skb, const struct packet *packet, __u32 quoted,
					       __u32 mtu)
{
	struct answer6 answer = {
		.ip = {
			.version = 6,
			.payload_len = bpf_htons(sizeof(struct icmp6hdr) + quoted),
			.nexthdr = IPPROTO_ICMPV6,
			.hop_limit = ANSWER_TTL,
		},
		.icmp = {
			.icmp6_type = mtu == NO_PORT ? ICMPV6_DEST_UNREACH : ICMPV6_PKT_TOOBIG,
			.icmp6_code = mtu == NO_PORT ? ICMPV6_PORT_UNREACH : 0,
		},
	};
	struct { __be32 length; __be32 next; } pseudo = {
		.length = bpf_htonl(sizeof(struct icmp6hdr) + quoted),
		.next = bpf_htonl(IPPROTO_ICMPV6),
	};
	__s64 sum = make_room(skb, packet, quoted, sizeof(answer));

	if (sum < 0)
		return DROP_INTERNAL;
	__builtin_memcpy(&answer.ip.saddr, &packet->receiver, sizeof(struct address));
	__builtin_memcpy(&answer.ip.daddr, &packet->sender, sizeof(struct address));
	answer.icmp.icmp6_mtu = bpf_htonl(mtu);
	sum = (__u32)bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), sum);
	sum = (__u32)bpf_csum_diff(NULL, 0, (__be32 *)&answer.ip.saddr, 2 * sizeof(struct address), sum);
	answer.icmp.icmp6_cksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&answer.icmp, sizeof(answer.icmp), sum));
	if (bpf_skb_store_bytes(skb, L3_OFFSET, &answer, sizeof(answer), 0))
		return DROP_INTERNAL;
	return CONTINUE;
}

static __noinline enum verdict become_answer(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	__u32 quoted = packet->l4_offset - L3_OFFSET +
		       (packet->flow.protocol == IPPROTO_TCP && !packet->is_icmp_error ? QUOTED_TCP : QUOTED_TRANSPORT);

	if (quoted > MAX_QUOTE)
		quoted = MAX_QUOTE;
	if (packet->family == 4)
		return become_answer4(skb, packet, quoted, mtu);
	return become_answer6(skb, packet, quoted, mtu);
}

/* Sends the answer out by the device that the packet came by, or back in by the device that it was about to leave by. */
static __noinline enum verdict send_back(struct __sk_buff *skb, const struct packet *packet, enum verdict sent)
{
	__u8 macs[ADDRESS_LENGTH];

	if (bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)) || write_macs(skb, macs + ETH_ALEN, macs))
		return DROP_INTERNAL;
	record_departure(DEPARTED_BY_DEVICE, device_of(skb));
	return bpf_redirect(skb->ifindex, packet->is_leaving ? BPF_F_INGRESS : 0) == TC_ACT_REDIRECT ? sent : DROP_INTERNAL;
}

static __always_inline enum verdict answer_too_big(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	return become_answer(skb, packet, mtu) ?: send_back(skb, packet, SENT_TOO_BIG);
}

/* Nobody answers an ICMP error, a reset, or a fragment that is not the first (RFC 1122 section 3.2.2). */
static __noinline enum verdict refuse_port_of_service(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 protocol = packet->flow.protocol;

	if (packet->untranslatable)
		return packet->untranslatable;
	if (packet->is_icmp_error || packet->is_later_fragment ||
	    (protocol == IPPROTO_TCP ? packet->tcp_flags & TCP_RST : protocol != IPPROTO_UDP))
		return DROP_NO_ENDPOINT;
	return become_answer(skb, packet, NO_PORT) ?: send_back(skb, packet, SENT_REFUSAL);
}

/*
 * Is the sender told that the route is too narrow? The sender of a packet that may be fragmented does not expect it. The
 * stack could fragment such a packet, but must not see it: it is not translated yet, or has an address that is not the
 * node's own.
 */
static __always_inline bool expects_too_big(const struct packet *packet, enum verdict verdict)
{
	return verdict == DROP_TOO_BIG && packet->dont_fragment;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replaces the address and port of one end of a packet, and corrects every checksum that covers them
 */
#ifndef SALLYPORT_REWRITE_H
#define SALLYPORT_REWRITE_H

/* Which end of a packet is rewritten: the source when it leaves the cluster, the destination when it returns. */
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

/* What the new address changes in a checksum that covers it. */
static __always_inline __s64 address_difference(const struct rewrite *rewrite)
{
	return bpf_csum_diff((__be32 *)rewrite->from.words, 16, (__be32 *)rewrite->to.words, 16, 0);
}

/* Rewrites the address in the IP header at `offset`, and the header checksum of IPv4. */
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

/* An IPv4 address is one word, for which the kernel needs no sum. */
static __always_inline long replace_in_pseudo_header(struct __sk_buff *skb, __u8 family, __u32 checksum,
						     const struct rewrite *rewrite, __u64 flags)
{
	if (family == 4)
		return bpf_l4_csum_replace(skb, checksum, rewrite->from.words[3], rewrite->to.words[3],
					   flags | BPF_F_PSEUDO_HDR | 4);
	return bpf_l4_csum_replace(skb, checksum, 0, address_difference(rewrite), flags | BPF_F_PSEUDO_HDR);
}

/* The checksums of TCP, UDP and ICMPv6 cover the addresses (the pseudo header). That of ICMP does not. */
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
 * An ICMP error embeds a packet of the opposite direction, so its other end is rewritten (RFC 5508 REQ-4). The outer header
 * may have the address of a router there, which stays. The ICMP checksum covers the embedded bytes. The embedded IPv4 header
 * checksum is corrected. The embedded transport checksum may be cut off, and stays as it is.
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
	/*
	 * In IPv4 the changes of the embedded address and of its header checksum cancel out. IPv6 has no header checksum.
	 */
	difference = packet->family == 6 ? address_difference(rewrite) : 0;
	if (packet->family == 6 && bpf_l4_csum_replace(skb, checksum, 0, difference, 0))
		return -1;
	field = packet->inner_l4_offset + port_field(packet->flow.protocol, inner.side);
	if (bpf_l4_csum_replace(skb, checksum, rewrite->from_port, rewrite->to_port, 2))
		return -1;
	if (bpf_skb_store_bytes(skb, field, &rewrite->to_port, 2, 0))
		return -1;
	if (!same_address(rewrite->side == SIDE_SOURCE ? &packet->sender : &packet->receiver, &rewrite->from))
		return 0;
	/* The checksum of ICMPv6 covers the outer addresses, too. */
	if (packet->family == 6 &&
	    bpf_l4_csum_replace(skb, checksum, 0, address_difference(rewrite), BPF_F_PSEUDO_HDR))
		return -1;
	return rewrite_address(skb, packet->family, L3_OFFSET, rewrite);
}

/* Not static, because the verifier would check it again for each caller and state. */
__noinline enum verdict rewrite_packet(struct __sk_buff *skb, const struct packet *packet, const struct rewrite *rewrite)
{
	long error;

	if (!packet || !rewrite)
		return DROP_INTERNAL;
	if (packet->is_icmp_error) {
		error = rewrite_embedded(skb, packet, rewrite);
	} else {
		error = rewrite_address(skb, packet->family, L3_OFFSET, rewrite);
		if (!error && !packet->is_later_fragment)
			error = rewrite_transport(skb, packet, rewrite);
	}
	return error ? DROP_INTERNAL : CONTINUE;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MSS option of a SYN or SYN-ACK, lowered to what the path carries
 */
#ifndef SALLYPORT_MSS_H
#define SALLYPORT_MSS_H

enum {
	MAX_TCP_OPTIONS = 40,
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
};

/* The checksum adds up words of two bytes. If the value stands at an odd offset, its two bytes count in swapped places. */
static __always_inline void replace_mss(struct __sk_buff *skb, __u32 l4_offset, __u32 offset, __be16 old, __be16 new)
{
	bool is_odd = (offset - l4_offset) & 1;

	bpf_l4_csum_replace(skb, l4_offset + offsetof(struct tcphdr, check), is_odd ? __builtin_bswap16(old) : old,
			    is_odd ? __builtin_bswap16(new) : new, 2);
	bpf_skb_store_bytes(skb, offset, &new, 2, 0);
}

/*
 * Lowers the MSS of a SYN or SYN-ACK, so that neither side sends packets that would have to be fragmented. It stops at the
 * end of the header, because a SYN may carry data (RFC 7413), which may look like an option.
 */
__noinline int lower_mss(struct __sk_buff *skb, __u32 l4_offset, __u32 max_mss)
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
			if (bpf_ntohs(option.mss) > max_mss)
				replace_mss(skb, l4_offset, offset + 2, option.mss, bpf_htons(max_mss));
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

/* `mtu` is that of the tunnel or of the route; 0 if it is unknown. */
static __always_inline void clamp_mss(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	__u32 headers = sizeof(struct tcphdr) +
			(packet->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));

	if (packet->flow.protocol == IPPROTO_TCP && packet->tcp_flags & TCP_SYN && mtu > headers)
		lower_mss(skb, packet->l4_offset, mtu - headers);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parses a packet into struct packet, or finds it malformed
 *
 * Only the headers here, rewrite.h, mss.h, forward.h and too-big.h know which address family a packet has.
 */
#ifndef SALLYPORT_PARSE_H
#define SALLYPORT_PARSE_H

enum { VLAN_NUMBER = 0xfff };

/*
 * A driver may leave the header in pages, which a program cannot read directly: fetch it then. NULL: the packet is shorter.
 */
static __always_inline void *network_header(struct __sk_buff *skb, __u32 size)
{
	void *header = (void *)(long)skb->data + L3_OFFSET;

	if (header + size <= (void *)(long)skb->data_end)
		return header;
	if (bpf_skb_pull_data(skb, L3_OFFSET + size))
		return NULL;
	header = (void *)(long)skb->data + L3_OFFSET;
	return header + size <= (void *)(long)skb->data_end ? header : NULL;
}

static __always_inline enum verdict parse_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr *ip = network_header(skb, sizeof(*ip));
	__u32 header_length, total_length, fragment;

	if (!ip)
		return DROP_MALFORMED;
	header_length = ip->ihl * 4;
	total_length = bpf_ntohs(ip->tot_len);
	if (total_length == 0 && skb->gso_size)	/* an aggregate of more than 65535 bytes */
		total_length = skb->len - L3_OFFSET;
	if (ip->version != 4 || header_length < sizeof(*ip) || total_length < header_length ||
	    total_length > skb->len - L3_OFFSET)
		return DROP_MALFORMED;
	fragment = bpf_ntohs(ip->frag_off);
	packet->family = 4;
	packet->ttl = ip->ttl;
	packet->l4_offset = L3_OFFSET + header_length;
	packet->l4_length = total_length - header_length;
	packet->is_fragment = (fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET)) != 0;
	packet->is_later_fragment = (fragment & IP_FRAGMENT_OFFSET) != 0;
	packet->dont_fragment = (fragment & IP_DONT_FRAGMENT) != 0;
	packet->fragment_id = ip->id;
	packet->flow.protocol = ip->protocol;
	map_ipv4(&packet->sender, ip->saddr);
	map_ipv4(&packet->receiver, ip->daddr);
	/* 224.0.0.0/24 and the limited broadcast stay on the link. */
	if ((ip->daddr & bpf_htonl(0xffffff00)) == bpf_htonl(0xe0000000) || ip->daddr == bpf_htonl(0xffffffff))
		return PASS_LINK_LOCAL;
	return CONTINUE;
}

static __always_inline enum verdict parse_ipv6(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6hdr *ip = network_header(skb, sizeof(*ip));
	struct extensions at = { .offset = L3_OFFSET + sizeof(*ip) };
	__u32 payload_length, start = L3_OFFSET + sizeof(*ip);
	enum verdict verdict;

	if (!ip)
		return DROP_MALFORMED;
	payload_length = bpf_ntohs(ip->payload_len);
	if (payload_length == 0 && skb->gso_size)
		payload_length = skb->len - start;
	if (ip->version != 6 || payload_length > skb->len - start)
		return DROP_MALFORMED;
	packet->family = 6;
	packet->ttl = ip->hop_limit;
	packet->dont_fragment = 1;
	copy_ipv6(&packet->sender, &ip->saddr);
	copy_ipv6(&packet->receiver, &ip->daddr);
	/* fe80::/10, and multicast of the interface or link: ff01:: and ff02:: */
	if (is_link_local6(&packet->receiver) ||
	    (ip->daddr.s6_addr32[0] & bpf_htonl(0xff0e0000)) == bpf_htonl(0xff000000) ||
	    (ip->daddr.s6_addr32[0] & bpf_htonl(0xff0f0000)) == bpf_htonl(0xff020000))
		return PASS_LINK_LOCAL;
	at.protocol = ip->nexthdr;
	verdict = skip_extensions(skb, &at);
	if (verdict != CONTINUE)
		return verdict;
	packet->flow.protocol = at.protocol;
	packet->l4_offset = at.offset;
	packet->is_fragment = at.is_fragment;
	packet->is_later_fragment = at.is_later_fragment;
	packet->fragment_id = at.fragment_id;
	if (packet->l4_offset - start > payload_length)
		return DROP_MALFORMED;
	packet->l4_length = payload_length - (packet->l4_offset - start);
	return CONTINUE;
}

/*
 * Does a frame belong to a VLAN? The device of that VLAN receives it next, without the tag, and has a hook of its own. A
 * tag with the number 0 names no VLAN, only a priority. It is removed here, as the stack would.
 */
static __always_inline bool is_of_vlan(struct __sk_buff *skb)
{
	return skb->vlan_present && (skb->vlan_tci & VLAN_NUMBER || bpf_skb_vlan_pop(skb));
}

/* Not static, because the verifier would check each later stage once for every way through the headers. */
__noinline enum verdict parse(struct __sk_buff *skb, struct packet *packet)
{
	enum verdict verdict;

	if (!packet)
		return DROP_INTERNAL;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		verdict = parse_ipv4(skb, packet);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		verdict = parse_ipv6(skb, packet);
	else if (skb->protocol == bpf_htons(ETH_P_ARP))
		return PASS_LINK_LOCAL;
	else
		return DROP_UNSUPPORTED_PROTOCOL;
	packet->flow.source = packet->sender;
	packet->flow.destination = packet->receiver;
	if (verdict != CONTINUE)
		return verdict;
	if (packet->is_later_fragment)
		return recall_first_fragment(packet);
	return parse_transport(skb, packet);
}

/*
 * For packets that may travel inside the cluster even if they cannot be translated: those of any protocol, and a fragment
 * whose first is unknown.
 */
static __always_inline enum verdict parse_any(struct __sk_buff *skb, struct packet *packet)
{
	enum verdict verdict = parse(skb, packet);

	if (verdict != DROP_UNSUPPORTED_PROTOCOL && verdict != DROP_UNKNOWN_FRAGMENT)
		return verdict;
	packet->untranslatable = verdict;
	return CONTINUE;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The transport header: ports, ICMP messages, and what TCP says about its connection
 */
#ifndef SALLYPORT_TRANSPORT_H
#define SALLYPORT_TRANSPORT_H

/* The ports of TCP and UDP. For an ICMP echo its identifier, as the port of the side that chose it. */
struct ports_read {
	__be16 source;
	__be16 destination;
};

/* Does an ICMP message of this type speak about another packet? */
static __always_inline bool is_error_type(__u8 family, __u8 type)
{
	if (family == 4)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
	return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
}

static __always_inline bool is_echo(__u8 family, __u8 type, bool *is_request)
{
	*is_request = family == 4 ? type == ICMP_ECHO : type == ICMPV6_ECHO_REQUEST;
	return *is_request || (family == 4 ? type == ICMP_ECHOREPLY : type == ICMPV6_ECHO_REPLY);
}

/*
 * Reads the packet that an ICMP error embeds, and turns its flow around. RFC 792 promises only eight bytes of its transport
 * header; the ports are in the first four. An error about a later fragment has no ports, so that no flow can be found.
 */
static __noinline enum verdict parse_embedded(struct __sk_buff *skb, struct packet *packet)
{
	__u32 offset = packet->l4_offset + 8;
	struct flow_key *flow = &packet->flow;
	struct ports_read ports;
	__u8 protocol;
	bool is_request;

	packet->inner_l3_offset = offset;
	if (packet->family == 4) {
		struct iphdr inner;

		if (bpf_skb_load_bytes(skb, offset, &inner, sizeof(inner)))
			return DROP_MALFORMED;
		if (inner.version != 4 || inner.ihl < 5 || inner.frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
			return DROP_MALFORMED;
		map_ipv4(&flow->source, inner.daddr);
		map_ipv4(&flow->destination, inner.saddr);
		protocol = inner.protocol;
		offset += inner.ihl * 4;
	} else {
		struct extensions at = {};
		struct ipv6hdr inner;

		if (bpf_skb_load_bytes(skb, offset, &inner, sizeof(inner)))
			return DROP_MALFORMED;
		copy_ipv6(&flow->source, &inner.daddr);
		copy_ipv6(&flow->destination, &inner.saddr);
		at.protocol = inner.nexthdr;
		at.offset = offset + sizeof(inner);
		if (skip_extensions(skb, &at) != CONTINUE || at.is_later_fragment)
			return DROP_MALFORMED;
		protocol = at.protocol;
		offset = at.offset;
	}
	packet->inner_l4_offset = offset;
	flow->protocol = protocol;
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
		if (bpf_skb_load_bytes(skb, offset, &ports, sizeof(ports)))
			return DROP_MALFORMED;
		flow->source_port = ports.destination;
		flow->destination_port = ports.source;
		return CONTINUE;
	}
	if (protocol == (packet->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		struct icmphdr icmp;

		if (bpf_skb_load_bytes(skb, offset, &icmp, sizeof(icmp)))
			return DROP_MALFORMED;
		if (!is_echo(packet->family, icmp.type, &is_request))
			return DROP_UNSUPPORTED_PROTOCOL;
		flow->source_port = is_request ? 0 : icmp.un.echo.id;
		flow->destination_port = is_request ? icmp.un.echo.id : 0;
		return CONTINUE;
	}
	return DROP_UNSUPPORTED_PROTOCOL;
}

static __noinline enum verdict parse_tcp(struct __sk_buff *skb, struct packet *packet)
{
	struct tcphdr tcp;
	__u32 header_length;

	if (bpf_skb_load_bytes(skb, packet->l4_offset, &tcp, sizeof(tcp)))
		return DROP_MALFORMED;
	header_length = tcp.doff * 4;
	if (header_length < sizeof(tcp) || header_length > packet->l4_length)
		return DROP_MALFORMED;
	packet->flow.source_port = tcp.source;
	packet->flow.destination_port = tcp.dest;
	packet->tcp_flags = ((__u8 *)&tcp)[TCP_FLAGS_OFFSET];
	packet->sequence = bpf_ntohl(tcp.seq);
	packet->acknowledged = bpf_ntohl(tcp.ack_seq);
	packet->sequence_end = packet->sequence + packet->l4_length - header_length + tcp.fin + tcp.syn;
	return CONTINUE;
}

static __noinline enum verdict parse_icmp(struct __sk_buff *skb, struct packet *packet)
{
	struct icmphdr icmp;	/* ICMPv6 has type, code, checksum and identifier at the same places */
	bool is_request;

	if (bpf_skb_load_bytes(skb, packet->l4_offset, &icmp, sizeof(icmp)))
		return DROP_MALFORMED;
	if (is_error_type(packet->family, icmp.type)) {
		packet->is_icmp_error = 1;
		return parse_embedded(skb, packet);
	}
	if (is_echo(packet->family, icmp.type, &is_request)) {
		packet->is_request = is_request;
		packet->flow.source_port = is_request ? icmp.un.echo.id : 0;
		packet->flow.destination_port = is_request ? 0 : icmp.un.echo.id;
		return CONTINUE;
	}
	/*
	 * Neighbour discovery and multicast listener reports stay on the link if one of their addresses is link-local,
	 * because no router forwards those (RFC 4291 section 2.5.6). parse_ipv6() looks at the receiver. With other
	 * addresses such a message is like any packet without ports, and a pod may send it only from the pod's own address.
	 */
	packet->is_of_link = packet->family == 6 && icmp.type >= 130 && icmp.type <= 143;
	if (packet->is_of_link && is_link_local6(&packet->sender))
		return PASS_LINK_LOCAL;
	return DROP_UNSUPPORTED_PROTOCOL;
}

static __noinline enum verdict parse_transport(struct __sk_buff *skb, struct packet *packet)
{
	struct ports_read ports;
	struct udphdr udp;

	switch (packet->flow.protocol) {
	case IPPROTO_TCP:
		return parse_tcp(skb, packet);
	case IPPROTO_UDP:
		if (bpf_skb_load_bytes(skb, packet->l4_offset, &udp, sizeof(udp)))
			return DROP_MALFORMED;
		ports.source = udp.source;
		ports.destination = udp.dest;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((packet->flow.protocol == IPPROTO_ICMP) != (packet->family == 4))
			return DROP_MALFORMED;
		return parse_icmp(skb, packet);
	default:
		return DROP_UNSUPPORTED_PROTOCOL;
	}
	packet->flow.source_port = ports.source;
	packet->flow.destination_port = ports.destination;
	return CONTINUE;
}

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Bytes become a struct packet, or the packet is malformed
 *
 * This stage, rewriting in nat.h and the answers in toobig.h alone know which address family a packet has.
 * An ICMP error is read as the flow that it speaks about: its embedded packet, turned round, so that every
 * later stage finds the same mapping and the same port owner as for any other packet of that direction.
 */
#ifndef SALLYPORT_PACKET_H
#define SALLYPORT_PACKET_H

enum {
	L3_OFFSET = ETH_HLEN,
	MAX_EXTENSION_HEADERS = 6,	/* that RFC 8200 has in one packet, but for those of IPsec */
	IP_MORE_FRAGMENTS = 0x2000,
	IP_DONT_FRAGMENT = 0x4000,
	IP_FRAGMENT_OFFSET = 0x1fff,
	VLAN_NUMBER = 0xfff,
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
	TCP_DOFF_OFFSET = 12,
	TCP_FLAGS_OFFSET = 13,
};

struct packet {
	struct flow_key flow;
	struct address sender;		/* of the outer header; flow.source but for an ICMP error */
	struct address receiver;
	__u32 l4_offset;
	__u32 l4_length;		/* as the IP header says: TCP payload follows from it */
	__u32 inner_l3_offset;		/* of an ICMP error's embedded packet */
	__u32 inner_l4_offset;
	__u32 fragment_id;
	__u32 sequence;			/* of TCP, host byte order, as the next two */
	__u32 acknowledged;
	__u32 sequence_end;		/* after payload, SYN and FIN */
	enum verdict untranslatable;	/* why the packet has no ports to translate; CONTINUE: it has */
	__u8 family;
	__u8 is_fragment;		/* any but a whole datagram */
	__u8 is_later_fragment;		/* it has no L4 header */
	__u8 is_icmp_error;
	__u8 is_request;		/* ICMP echo request */
	__u8 is_of_link;		/* neighbour discovery and the like: the node may have it, another pod may not */
	__u8 tcp_flags;
	__u8 ttl;
	__u8 dont_fragment;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTS);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

static __always_inline void map_ipv4(struct address *address, __be32 ipv4)
{
	address->words[0] = 0;
	address->words[1] = 0;
	address->words[2] = bpf_htonl(0xffff);
	address->words[3] = ipv4;
}

static __always_inline void copy_ipv6(struct address *address, const struct in6_addr *ipv6)
{
	__builtin_memcpy(address, ipv6, sizeof(*address));
}

static __always_inline bool same_address(const struct address *a, const struct address *b)
{
	return !((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1]) |
		 (a->words[2] ^ b->words[2]) | (a->words[3] ^ b->words[3]));
}

static __always_inline bool is_ipv4(const struct address *address)
{
	return address->words[0] == 0 && address->words[1] == 0 && address->words[2] == bpf_htonl(0xffff);
}

static __always_inline bool is_link_local6(const struct address *address)
{
	return (address->words[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* Ports of TCP and UDP; the identifier of an ICMP echo, on the side that chose it. */
struct ports_read {
	__be16 source;
	__be16 destination;
};

/* Is this ICMP type a message about another packet? */
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

/* Where IPv6 extension headers lead. */
struct extensions {
	__u32 offset;		/* of the header that is to be read next */
	__u32 fragment_id;
	__u8 protocol;		/* of that header */
	__u8 is_fragment;
	__u8 is_later_fragment;
};

/*
 * Follows IPv6 extension headers to the transport's, or to what a later fragment has in its place. RFC 8200 lets a packet
 * carry any number of them; more than MAX_EXTENSION_HEADERS is refused here, as many routers do.
 */
static __noinline enum verdict skip_extensions(struct __sk_buff *skb, struct extensions *at)
{
	for (int i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
		struct { __u8 next; __u8 length; __be16 rest; __be32 id; } header;

		if (at->is_later_fragment ||
		    (at->protocol != IPPROTO_HOPOPTS && at->protocol != IPPROTO_ROUTING &&
		     at->protocol != IPPROTO_DSTOPTS && at->protocol != IPPROTO_FRAGMENT))
			return CONTINUE;
		if (bpf_skb_load_bytes(skb, at->offset, &header, sizeof(header)))
			return DROP_MALFORMED;
		if (at->protocol == IPPROTO_FRAGMENT) {
			at->is_fragment = 1;
			at->is_later_fragment = (bpf_ntohs(header.rest) & ~7) != 0;
			at->fragment_id = header.id;
			at->offset += 8;
		} else {
			at->offset += (header.length + 1) * 8;
		}
		at->protocol = header.next;
	}
	return DROP_MALFORMED;
}

/*
 * The embedded packet of an ICMP error, turned round. Eight bytes of its transport header are all that RFC 792
 * promises, and the ports are in the first four. An error about a later fragment cannot be assigned to a flow.
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
	 * Neighbour discovery and multicast listener reports are of the link, but what is on it the addresses say, not the type:
	 * to a link-local one (parse_ipv6) or from one, which no router lets through (RFC 4291 section 2.5.6). With others they
	 * are as any packet that has no ports, and the pod's own address is the only one that it may have.
	 */
	packet->is_of_link = packet->family == 6 && icmp.type >= 130 && icmp.type <= 143;
	if (packet->is_of_link && is_link_local6(&packet->sender))
		return PASS_LINK_LOCAL;
	return DROP_UNSUPPORTED_PROTOCOL;
}

static __always_inline void fill_fragment_key(struct fragment_key *key, const struct packet *packet)
{
	key->source = packet->sender;
	key->destination = packet->receiver;
	key->id = packet->fragment_id;
	key->protocol = packet->flow.protocol;
}

/* A later fragment has the ports of the first. Only what came in order is known: RFC 4787 REQ-14 asks for more. */
static __noinline enum verdict recall_first_fragment(struct packet *packet)
{
	struct fragment_key key = {};
	struct fragment_ports *ports;

	fill_fragment_key(&key, packet);
	ports = bpf_map_lookup_elem(&fragments, &key);
	if (!ports)
		return DROP_UNKNOWN_FRAGMENT;
	packet->flow.source_port = ports->source_port;
	packet->flow.destination_port = ports->destination_port;
	return CONTINUE;
}

/* Call it when it is known that the packet may pass: what strangers send must not make the table forget what is in use. */
static __noinline void note_fragment(const struct packet *packet)
{
	struct fragment_key key = {};
	struct fragment_ports ports = {
		.source_port = packet->flow.source_port,
		.destination_port = packet->flow.destination_port,
	};

	if (!packet->is_fragment || packet->is_later_fragment)
		return;
	fill_fragment_key(&key, packet);
	bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
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

/* What a driver left in pages cannot be read directly: it is fetched, once. None where the packet is shorter. */
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
 * Does a frame belong to a VLAN? The device of that VLAN gets it next, untagged, and has a hook of its own. The number 0 is none:
 * such a tag is a priority, and the stack takes it off as well.
 */
static __always_inline bool is_of_vlan(struct __sk_buff *skb)
{
	return skb->vlan_present && (skb->vlan_tci & VLAN_NUMBER || bpf_skb_vlan_pop(skb));
}

static __noinline enum verdict parse(struct __sk_buff *skb, struct packet *packet)
{
	enum verdict verdict;

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
 * For packets that may travel inside the cluster even if they cannot be translated: those of any protocol, and a fragment whose
 * first is unknown.
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

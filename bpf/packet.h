/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs know about a packet, and how they handle its addresses
 *
 * An ICMP error belongs to the flow of the packet that it contains. Its `flow` is the reversed flow of that packet, so that
 * every later stage finds the same mapping and the same port owner as for any other packet of that direction.
 */
#ifndef SALLYPORT_PACKET_H
#define SALLYPORT_PACKET_H

enum {
	L3_OFFSET = ETH_HLEN,
	IP_MORE_FRAGMENTS = 0x2000,
	IP_DONT_FRAGMENT = 0x4000,
	IP_FRAGMENT_OFFSET = 0x1fff,
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
	TCP_DOFF_OFFSET = 12,
	TCP_FLAGS_OFFSET = 13,
};

struct packet {
	struct flow_key flow;
	struct address sender;		/* of the outer header; equal to flow.source unless the packet is an ICMP error */
	struct address receiver;
	__u32 l4_offset;
	__u32 l4_length;		/* from the IP header; the TCP payload is what remains of it */
	__u32 inner_l3_offset;		/* of the packet that an ICMP error embeds */
	__u32 inner_l4_offset;
	__u32 fragment_id;
	__u32 sequence;			/* of TCP, host byte order, like the next two */
	__u32 acknowledged;
	__u32 sequence_end;		/* after payload, SYN and FIN */
	enum verdict untranslatable;	/* why the packet has no ports to translate; CONTINUE: it has */
	__u8 family;			/* 4 or 6 */
	__u8 is_fragment;		/* first or later, but not a whole datagram */
	__u8 is_later_fragment;		/* it has no L4 header */
	__u8 is_icmp_error;
	__u8 is_request;		/* ICMP echo request */
	__u8 is_leaving;		/* the stack sends it out by a device; all others come in */
	__u8 is_from_world;		/* it came in by a native device */
	__u8 is_of_link;		/* neighbour discovery and the like: for the node, never for another pod */
	__u8 tcp_flags;
	__u8 ttl;
	__u8 dont_fragment;
};

/* The flow as the packets of the other direction have it. */
static __always_inline void reverse_flow(struct flow_key *reversed, const struct flow_key *flow)
{
	*reversed = *flow;
	reversed->source = flow->destination;
	reversed->destination = flow->source;
	reversed->source_port = flow->destination_port;
	reversed->destination_port = flow->source_port;
}

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

static __always_inline bool is_multicast(const struct address *address)
{
	if (is_ipv4(address))
		return (address->words[3] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000);
	return (address->words[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

/* Addresses that no router forwards to: 169.254.0.0/16 and 127.0.0.0/8, fe80::/10 and ::1. */
static __always_inline bool is_near(const struct address *address)
{
	if (is_ipv4(address))
		return (address->words[3] & bpf_htonl(0xffff0000)) == bpf_htonl(0xa9fe0000) ||
		       (address->words[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return is_link_local6(address) ||
	       (!(address->words[0] | address->words[1] | address->words[2]) && address->words[3] == bpf_htonl(1));
}

#endif

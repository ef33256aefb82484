/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells the agent of each program that handles the test packet of sallyport explain --send, or an answer to it
 *
 * Every other packet pays for this with one load and one branch. The programs also take a packet of another connection for it that has the
 * same sequence number, and over UDP all packets to and from the same far end. The agent leaves those out.
 */
#ifndef SALLYPORT_TRACE_H
#define SALLYPORT_TRACE_H

/* The agent writes it, and clears it some seconds later. */
struct traced_flow traced_flow;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} passages SEC(".maps");

struct passage *unused_passage __attribute__((unused));

static __always_inline bool is_far_end(const struct address *address, __be16 port)
{
	return same_address(address, &traced_flow.far) && port == traced_flow.far_port;
}

/* An ICMP error quotes the sequence number of the packet that it is about. */
static __noinline bool is_traced(struct __sk_buff *skb, const struct packet *packet)
{
	const struct flow_key *flow = &packet->flow;
	__u32 first = traced_flow.sequence;
	__be32 quoted;

	if (flow->protocol != traced_flow.protocol)
		return false;
	if (flow->protocol == IPPROTO_UDP)
		return is_far_end(&flow->source, flow->source_port) ||
		       is_far_end(&flow->destination, flow->destination_port);
	if (packet->is_icmp_error)
		return !bpf_skb_load_bytes(skb, packet->inner_l4_offset + offsetof(struct tcphdr, seq), &quoted,
					   sizeof(quoted)) &&
		       bpf_ntohl(quoted) == first;
	return packet->sequence == first || packet->sequence == first + 1 ||
	       ((packet->tcp_flags & TCP_ACK) && packet->acknowledged == first + 1);
}

static __noinline void note_passage(struct __sk_buff *skb, const struct packet *packet, enum program program,
				    enum verdict verdict)
{
	struct passage *passage;
	__u8 icmp[2] = {};

	if (!is_traced(skb, packet))
		return;
	if (packet->is_icmp_error)
		bpf_skb_load_bytes(skb, packet->l4_offset, icmp, sizeof(icmp));
	passage = bpf_ringbuf_reserve(&passages, sizeof(*passage), 0);
	if (!passage)
		return;
	__builtin_memset(passage, 0, sizeof(*passage));
	passage->time_ns = now_ns();
	passage->flow = packet->flow;
	passage->sender = packet->sender;
	passage->program = program;
	passage->verdict = verdict;
	passage->tcp_flags = packet->tcp_flags;
	passage->is_icmp_error = packet->is_icmp_error;
	passage->icmp_type = icmp[0];
	passage->icmp_code = icmp[1];
	bpf_ringbuf_submit(passage, 0);
}

#endif

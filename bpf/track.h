/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Follows the state of a flow by its packets: established, closing or closed
 */
#ifndef SALLYPORT_TRACK_H
#define SALLYPORT_TRACK_H

enum {
	/*
	 * Bytes that a FIN may be away from what the pod acknowledged, because data is in flight or sent again. Only long,
	 * fast paths have more in flight; their FINs are ignored. One of 512 forged FINs comes this close: 2 * 4 MiB of 4
	 * GiB.
	 */
	FIN_DISTANCE = 4 << 20,
};

static __always_inline bool is_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) >= 0;
}

/*
 * Anyone can forge a FIN, so a FIN from outside counts only if its sequence number is near what the pod acknowledged. If
 * the program ignores a real FIN, the mapping expires later, never earlier.
 */
static __always_inline bool is_credible_fin(const struct mapping *mapping, const struct packet *packet)
{
	return (packet->tcp_flags & TCP_FIN) && mapping->acknowledged &&
	       packet->sequence - mapping->acknowledged + FIN_DISTANCE <= 2 * FIN_DISTANCE;
}

/* A closed connection is not one of the pod's flows any more. Two CPUs may see the end at once: one of them counts. */
static __always_inline void note_closed(struct mapping *mapping, const struct address *pod, __u64 now)
{
	if (mapping->closed_ns || (mapping->state & STATE_CLOSED) != STATE_CLOSED)
		return;
	if (__sync_val_compare_and_swap(&mapping->closed_ns, 0, now) == 0)
		uncount_flow(pod, mapping);
}

/*
 * Two CPUs may handle the two directions of a connection at the same time. A bit of `state` that is lost in that race makes
 * the mapping live longer, never shorter.
 */
static __always_inline void track_outward(struct mapping *mapping, const struct packet *packet, __u32 length,
					  __u64 now)
{
	mapping->packets_out++;
	mapping->bytes_out += length;
	/* An ICMP error does not refresh a mapping (RFC 7857 section 4). */
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
		note_closed(mapping, &packet->flow.source, now);
	}
}

/*
 * A reset from outside changes nothing, because anyone can forge one (RFC 7857 section 2). If both sides close at once, the
 * far end enters TIME_WAIT too, so the pod does not count as the first to close.
 */
static __always_inline void track_inward(struct mapping *mapping, const struct packet *packet,
					 const struct address *pod, __u32 length, __u64 now)
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
		note_closed(mapping, pod, now);
	}
}

#endif

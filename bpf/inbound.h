/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections from outside that the stack delivers (NodePort, LoadBalancer, host ports), so that no policy captures their
 * replies
 */
#ifndef SALLYPORT_INBOUND_H
#define SALLYPORT_INBOUND_H

/* Written by to_pod, and by from_pod for as long as the pod replies. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_INBOUND);
	__type(key, struct flow_key);
	__type(value, struct inbound);
} inbound SEC(".maps");

static __always_inline __u64 inbound_lifetime_ns(__u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return tcp_established_ns;
	return protocol == IPPROTO_UDP ? inbound_udp_ns : inbound_icmp_ns;
}

/*
 * A pod's packet of a connection that the stack delivers: one that came from outside, or in chained mode one that was open
 * before a policy selected it. With a SYN the pod opens a connection of its own, even if an old one had the same ports.
 * What was delivered before the pod had its address was for its predecessor.
 */
static __always_inline bool is_inbound_reply(const struct packet *packet, const struct pod *pod, __u64 now)
{
	struct inbound *connection;

	if (packet->flow.protocol == IPPROTO_TCP && (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return false;
	connection = bpf_map_lookup_elem(&inbound, &packet->flow);
	if (!connection || connection->last_ns < pod->since_ns ||
	    now - connection->last_ns >= inbound_lifetime_ns(packet->flow.protocol))
		return false;
	if (!packet->is_icmp_error)
		connection->last_ns = now;
	return true;
}

#endif

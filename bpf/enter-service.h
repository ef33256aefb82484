/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a packet to a Service gets an endpoint as its destination. Which one, any-service.h and outside-service.h say.
 */
#ifndef SALLYPORT_ENTER_SERVICE_H
#define SALLYPORT_ENTER_SERVICE_H

/* May the packet go to another endpoint than the one before? A connection may not; a datagram may if its endpoint is gone. */
static __always_inline bool may_choose(const struct packet *packet)
{
	if (packet->is_icmp_error || packet->is_later_fragment)
		return false;
	return packet->flow.protocol == IPPROTO_UDP || opens_connection(packet);
}

/* Notes the flow in both directions, and translates the destination. */
static __noinline enum verdict translate_to_endpoint(struct __sk_buff *skb, struct packet *packet,
						     const struct endpoint *endpoint)
{
	struct endpoint service = { .address = packet->flow.destination, .port = packet->flow.destination_port };
	struct rewrite rewrite = {
		.from = packet->flow.destination,
		.to = endpoint->address,
		.from_port = packet->flow.destination_port,
		.to_port = endpoint->port,
		.side = SIDE_DESTINATION,
	};

	if (note_in(&service_flows, &packet->flow, endpoint))
		return DROP_TABLE_FULL;
	if (rewrite_packet(skb, packet, &rewrite) != CONTINUE)
		return DROP_INTERNAL;
	packet->flow.destination = endpoint->address;
	packet->flow.destination_port = endpoint->port;
	packet->receiver = endpoint->address;
	return note_in(&service_replies, &packet->flow, &service) ? DROP_TABLE_FULL : CONTINUE;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stage of from_pod: it translates the packet to its flow's egress IP and port, and sends it towards the present holder
 */
#ifndef SALLYPORT_OUTWARD_H
#define SALLYPORT_OUTWARD_H

enum way_kind {
	WAY_WORLD = 1,	/* this node is the holder: out by the kernel's routes */
	WAY_HOLDER,	/* through the tunnel to the holder */
	WAY_LINK,	/* by a link to the holder */
	WAY_BACK,	/* this node is the holder, and another pod has the port that the packet is for (hairpinning) */
	WAY_STACK,	/* this node is the holder: out by the stack, with forward_by_stack */
};

/* How a packet leaves. It is read from the mapping only once, because another CPU may delete the mapping at any time. */
struct way {
	__u32 kind;		/* enum way_kind */
	__u32 is_masqueraded;
	struct rewrite rewrite;
	struct address holder;	/* of WAY_HOLDER */
	struct way_out out;	/* of WAY_WORLD and WAY_LINK */
};

static __always_inline void read_mapping(struct way *way, const struct packet *packet, const struct mapping *mapping)
{
	way->is_masqueraded = mapping->masqueraded;
	way->rewrite.from = packet->sender;
	way->rewrite.to = mapping->egress_ip;
	way->rewrite.from_port = packet->flow.source_port;
	way->rewrite.to_port = mapping->egress_port;
	way->rewrite.side = SIDE_SOURCE;
}

/* For an answer that quotes the packet as the pod has sent it: to the Service, if it has sent it there. */
static __noinline enum verdict leave_service(struct __sk_buff *skb, struct packet *packet, const struct journey *journey)
{
	struct rewrite rewrite = {};

	if (!journey->endpoint_port || restore_service(&rewrite, &packet->flow) != CONTINUE)
		return CONTINUE;
	rewrite.side = SIDE_DESTINATION;
	if (rewrite_packet(skb, packet, &rewrite) != CONTINUE)
		return DROP_INTERNAL;
	packet->receiver = rewrite.to;
	return CONTINUE;
}

static __always_inline enum verdict tell_too_big(struct __sk_buff *skb, struct packet *packet,
						 const struct journey *journey, __u32 mtu)
{
	return (chained || replaces_kube_proxy ? leave_service(skb, packet, journey) : CONTINUE) ?: answer_too_big(skb, packet, mtu);
}

/* The holder may change from packet to packet; the egress IP does not. Fills in `way`. */
static __noinline enum verdict choose_way(struct __sk_buff *skb, struct packet *packet, const struct journey *journey,
					  struct way *way)
{
	enum holder holder = HOLDER_SELF;
	enum verdict verdict;
	__u32 bound;

	read_mapping(way, packet, journey->mapping);
	if (!way->is_masqueraded)
		holder = find_holder(&way->rewrite.to, journey->now, &way->holder);
	if (holder == HOLDER_NONE)
		return DROP_NO_LIVE_GATEWAY;
	if (holder == HOLDER_OTHER) {
		way->kind = find_link(skb, packet, &way->holder, journey->now, &way->out) ? WAY_LINK : WAY_HOLDER;
		return CONTINUE;
	}
	way->kind = WAY_WORLD;
	bound = way->is_masqueraded ? 0 : device_of_egress_ip(&way->rewrite.to);
	if ((bound || forward_by_stack) && !is_nobodys(find_owner(packet))) {
		way->kind = WAY_BACK;
		return CONTINUE;
	}
	if (forward_by_stack) {
		way->kind = WAY_STACK;
		return refuse_own_address(packet);
	}
	verdict = find_way_out(skb, packet, &way->rewrite.to, bound, &way->out);
	if (expects_too_big(packet, verdict))
		return tell_too_big(skb, packet, journey, way->out.mtu ?: SMALLEST_MTU);
	if (verdict != DROP_NO_ROUTE || is_nobodys(find_owner(packet)))
		return verdict;
	way->kind = WAY_BACK;
	return CONTINUE;
}

/* For a flow that leaves here with the address that this node's stack uses, too. */
static __noinline enum verdict claim_outward(struct __sk_buff *skb, const struct packet *packet,
					     const struct journey *journey, const struct way *way)
{
	struct flow_key flow = packet->flow;
	enum verdict verdict;

	if (way->kind != WAY_WORLD || !is_shared_address(&way->rewrite.to))
		return CONTINUE;
	flow.source = way->rewrite.to;
	flow.source_port = way->rewrite.to_port;
	verdict = claim_port(skb, packet, &flow);
	if (verdict == DROP_PORT_IN_USE)
		refuse_port(journey->mapping, &packet->flow);
	return verdict;
}

/* Tells the sender of a packet that is too big for the path. A packet that turns back may need the tunnel, too. */
static __always_inline enum verdict fit_path(struct __sk_buff *skb, struct packet *packet,
					       const struct journey *journey, const struct way *way)
{
	struct self *own = this_node();
	__u32 mtu;

	if (way->kind == WAY_WORLD || way->kind == WAY_STACK)
		return CONTINUE;
	if (!own)
		return DROP_INTERNAL;
	mtu = way->kind == WAY_LINK ? way->out.mtu : own->tunnel_mtu;
	return is_too_big(skb, packet, mtu) ? tell_too_big(skb, packet, journey, mtu) : CONTINUE;
}

/* Whichever way a packet goes, replies to an egress IP may come through the tunnel. */
static __always_inline void clamp_outward(struct __sk_buff *skb, const struct packet *packet, const struct way *way)
{
	struct self *own = this_node();

	if (way->kind == WAY_WORLD)
		clamp_mss(skb, packet, way->out.mtu);
	if (!way->is_masqueraded && own)
		clamp_mss(skb, packet, own->tunnel_mtu);
}

static __always_inline enum verdict translate(struct __sk_buff *skb, struct packet *packet,
					      const struct journey *journey, const struct way *way)
{
	track_outward(journey->mapping, packet, skb->len, journey->now);
	clamp_outward(skb, packet, way);
	return rewrite_packet(skb, packet, &way->rewrite);
}

/* From here on the packet looks as if it had come from the world. */
static __always_inline enum verdict turn_back(struct packet *packet, const struct rewrite *rewrite)
{
	packet->sender = rewrite->to;
	packet->flow.source = rewrite->to;
	packet->flow.source_port = rewrite->to_port;
	return CONTINUE;
}

static __always_inline enum verdict take_way(struct __sk_buff *skb, struct packet *packet, const struct way *way)
{
	if (way->kind == WAY_LINK)
		return send_by_link(skb, &way->out, SENT_TO_HOLDER_BY_LINK);
	if (way->kind == WAY_HOLDER)
		return send_to_node(skb, packet, &way->holder, TUNNEL_OUTWARD, SENT_TO_HOLDER);
	if (way->kind == WAY_BACK)
		return turn_back(packet, &way->rewrite);
	if (way->kind == WAY_STACK)
		return hand_to_stack(skb, packet, &way->rewrite.to);
	return send_to_world(skb, packet, &way->out, way->is_masqueraded ? SENT_TO_WORLD_MASQUERADED : SENT_TO_WORLD);
}

static __noinline enum verdict translate_outward(struct __sk_buff *skb, struct packet *packet, struct journey *journey)
{
	struct way way = {};

	return choose_way(skb, packet, journey, &way) ?:
	       claim_outward(skb, packet, journey, &way) ?:
	       fit_path(skb, packet, journey, &way) ?:
	       translate(skb, packet, journey, &way) ?:
	       take_way(skb, packet, &way);
}

#endif

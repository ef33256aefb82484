/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The link path: translated packets travel without a tunnel between nodes that share a link
 *
 * The addresses of a translated packet mean the same to every host, so it needs no other header. The source node sends it to the
 * gateway's MAC, and the gateway sends what returns to the source node's MAC. The link is used only while probes that look like such
 * packets are answered on it (docs/decisions/0024). If they are not, the next packet takes the tunnel.
 */
#ifndef SALLYPORT_LINK_H
#define SALLYPORT_LINK_H

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NODES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct link);
} links SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LINK_MACS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct link_mac);
	__type(value, struct address);
} link_macs SEC(".maps");

static __always_inline void fill_way_by(struct way_out *way, const struct link *link)
{
	way->ifindex = link->ifindex;
	way->mtu = link->mtu;
	__builtin_memcpy(way->macs, link->mac, ADDRESS_LENGTH);
}

/* Fills in the way to a node by the link. False: the tunnel takes the packet, also if the kernel has to fragment it. */
static __always_inline bool find_link(struct __sk_buff *skb, const struct packet *packet, const struct address *node,
				      __u64 now, struct way_out *way)
{
	struct link *link = link_path ? bpf_map_lookup_elem(&links, node) : NULL;

	if (!link || link->answered_ns + gateway_silence_ns <= now)
		return false;
	if (!packet->dont_fragment && !skb->gso_size && length_on_wire(skb, packet) > link->mtu)
		return false;
	fill_way_by(way, link);
	return true;
}

static __always_inline enum verdict send_by_link(struct __sk_buff *skb, const struct way_out *way, enum verdict sent)
{
	if (bpf_skb_store_bytes(skb, 0, way->macs, sizeof(way->macs), 0))
		return DROP_INTERNAL;
	record_departure(DEPARTED_BY_DEVICE, way->ifindex);
	return bpf_redirect(way->ifindex, 0) == TC_ACT_REDIRECT ? sent : DROP_INTERNAL;
}

/* The node that sent the frame. NULL: the frame is from no node, or for another host. */
static __always_inline struct address *node_of_frame(struct __sk_buff *skb)
{
	struct link_mac key = {};

	if (skb->pkt_type != PACKET_HOST || bpf_skb_load_bytes(skb, ETH_ALEN, key.mac, sizeof(key.mac)))
		return NULL;
	return bpf_map_lookup_elem(&link_macs, &key);
}

static __always_inline bool may_hold(const struct egress_ip *egress_ip, const struct address *node)
{
	for (__u32 i = 0; i < MAX_HOLDERS; i++) {
		if (i >= egress_ip->holder_count)
			break;
		if (same_address(&egress_ip->order[i], node))
			return true;
	}
	return false;
}

/*
 * Did another gateway send this returning packet here, because it believes that this node owns the port? Two nodes that disagree
 * would send it back and forth. The gateway also forwards packets of nodes and of pods to egress IPs, and those may go on.
 */
static __noinline bool is_sent_back(struct __sk_buff *skb, const struct packet *packet)
{
	struct egress_ip *egress_ip = bpf_map_lookup_elem(&egress_ips, &packet->receiver);
	struct address *node = node_of_frame(skb);

	if (!egress_ip || !node || !may_hold(egress_ip, node))
		return false;
	return !find_in_cluster(&packet->sender) && !bpf_map_lookup_elem(&egress_ips, &packet->sender);
}

#endif

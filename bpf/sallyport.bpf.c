// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
/*
 * The datapath: what happens to a packet on its way out of the cluster and back
 *
 *   pod ── from_pod ──────────── tunnel ────────── from_overlay ── world      outward
 *   pod ── from_overlay ──────── tunnel ────────── from_world ──── world      returning
 *
 * The source node translates and keeps the state; the gateway checks and forwards. A node may be both.
 * A stage returns CONTINUE or ends the journey; leave() alone turns an ending into a TC action and a count.
 * A function that is not static is one that the verifier reads by itself, once, and not again for each state of its callers:
 * those with loops, which would otherwise take a program to the verifier's limit. Before 6.2 what it is given by a pointer is
 * no key or value for a map: it makes a copy.
 */
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <asm/errno.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "types.h"
#include "config.h"
#include "packet.h"
#include "verdict.h"
#include "policy.h"
#include "nat.h"
#include "sweep.h"
#include "forward.h"
#include "toobig.h"
#include "return.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* ---- outward ---- */

/*
 * Pods, nodes and Services of the cluster: no policy applies to them, and nothing is translated. The hop limit stays as it
 * is, by which neighbour discovery tells a neighbour: another pod would believe who speaks as the router.
 */
static __noinline enum verdict send_within_cluster(struct __sk_buff *skb, struct packet *packet)
{
	struct cluster_destination *destination;
	struct address node;
	struct pod *pod = bpf_map_lookup_elem(&pods, &packet->receiver);

	if (pod && chained)
		return PASS_TO_STACK;
	if (pod)
		return packet->is_of_link ? DROP_UNSUPPORTED_PROTOCOL : send_to_pod(skb, packet, pod);
	destination = find_in_cluster(&packet->receiver);
	if (!destination)
		return CONTINUE;
	if (destination->kind == CLUSTER_HOST)
		return PASS_TO_HOST;
	if (chained || destination->kind != CLUSTER_NODE)
		return PASS_TO_STACK;
	if (packet->is_of_link)
		return DROP_UNSUPPORTED_PROTOCOL;
	node = destination->node;
	return send_to_node(skb, packet, &node, TUNNEL_POD, SENT_TO_NODE);
}

static __always_inline bool opens_connection(const struct packet *packet)
{
	return packet->flow.protocol == IPPROTO_TCP && !packet->is_icmp_error && !packet->is_later_fragment &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/*
 * Answers and rests of connections that nobody knows here must not open a new one: they may belong to one that came from
 * outside, and its far end would get a stranger's packet.
 */
static __always_inline bool may_open_flow(const struct packet *packet)
{
	if (packet->is_icmp_error || packet->is_later_fragment)
		return false;
	if (packet->flow.protocol == IPPROTO_TCP)
		return opens_connection(packet);
	if (packet->flow.protocol == IPPROTO_ICMP || packet->flow.protocol == IPPROTO_ICMPV6)
		return packet->is_request;
	return true;
}

static __noinline enum verdict choose_own_address(const struct packet *packet, struct address *egress_ip)
{
	struct self *own = this_node();

	if (!own || !(packet->family == 4 ? own->has_masquerade4 : own->has_masquerade6))
		return DROP_NO_EGRESS_IP;
	*egress_ip = packet->family == 4 ? own->masquerade4 : own->masquerade6;
	return CONTINUE;
}

/* The rule that takes a destination away from the stack; none where no policy selects the pod or wants the packet. */
static __always_inline struct rule *find_claim(__u64 policy_set, const struct packet *packet)
{
	struct rule *rule = policy_set ? find_rule(policy_set, &packet->receiver) : NULL;

	return rule && rule->action != RULE_EXCLUDE ? rule : NULL;
}

/* A flow's first packet: the policy set has the last word on which address it may leave with. */
static __noinline enum verdict open_flow(const struct packet *packet, __u64 policy_set, __u64 now)
{
	struct rule *rule = find_claim(policy_set, packet);
	struct address egress_ip = {};
	__u32 purpose = POOL_EGRESS;
	enum verdict verdict;
	__u64 policy = 0;

	if (chained && !rule)
		return PASS_NOT_SELECTED;
	if (!may_open_flow(packet))
		return DROP_NO_MAPPING;
	if (!rule) {
		purpose = POOL_MASQUERADE;
		verdict = choose_own_address(packet, &egress_ip);
	} else {
		policy = rule->policy;
		if (rule->action == RULE_EGRESS)
			verdict = choose_egress_ip(rule->group, now, &egress_ip);
		else
			verdict = rule->verdict >= DROP_MALFORMED && rule->verdict < VERDICTS ? rule->verdict :
												DROP_POLICY_INVALID;
	}
	if (verdict == CONTINUE)
		verdict = make_mapping(&packet->flow, &egress_ip, policy, purpose);
	return verdict == CONTINUE ? CONTINUE : refuse_flow(policy, &egress_ip, verdict);
}

/*
 * The flow's mapping, if it still counts. An expired one, its predecessor's (a pod that had the address before), and one
 * that is closed when a new connection starts are retired: the flow starts anew, by today's policy.
 */
static __noinline struct mapping *find_mapping(const struct packet *packet, const struct pod *pod, __u64 now)
{
	struct mapping *mapping = bpf_map_lookup_elem(&mappings, &packet->flow);

	if (!mapping || mapping->reclaimed)
		return NULL;
	if (!is_expired(mapping, packet->flow.protocol, now) && mapping->created_ns >= pod->since_ns &&
	    !(opens_connection(packet) && mapping->state & (STATE_FIN_EITHER | STATE_RESET)))
		return mapping;
	retire(mapping, &packet->flow);
	return NULL;
}

/*
 * Rewrites the packet and sends it where its egress IP is answered for now, which may change from packet to packet. An
 * address of this node is no way out: if it is an egress IP with an owner of the port, the packet goes on as the world would have got it.
 */
static __noinline enum verdict translate_outward(struct __sk_buff *skb, struct packet *packet,
						 struct mapping *mapping, __u64 now)
{
	struct self *own = this_node();
	struct rewrite rewrite = {
		.from = packet->sender,
		.to = mapping->egress_ip,
		.from_port = packet->flow.source_port,
		.to_port = mapping->egress_port,
		.side = SIDE_SOURCE,
	};
	bool is_masqueraded = mapping->masqueraded;
	enum holder holder = HOLDER_SELF;
	struct address gateway = {};
	struct way_out way = {};
	bool is_turned = false;
	enum verdict verdict;

	if (!own)
		return DROP_INTERNAL;
	if (!is_masqueraded)
		holder = find_holder(&rewrite.to, now, &gateway);
	if (holder == HOLDER_NONE)
		return DROP_NO_LIVE_GATEWAY;
	if (holder == HOLDER_SELF) {
		verdict = find_way_out(skb, packet, &rewrite.to, &way);
		is_turned = verdict == DROP_NO_ROUTE && has_owner(packet);
		if (is_answered(packet, verdict))
			return answer_too_big(skb, packet, way.mtu ?: SMALLEST_MTU);
		if (verdict != CONTINUE && !is_turned)
			return verdict;
	}
	if ((holder == HOLDER_OTHER || is_turned) && is_too_big(skb, packet, own->tunnel_mtu))
		return answer_too_big(skb, packet, own->tunnel_mtu);
	track_outward(mapping, packet, skb->len, now);
	clamp_mss(skb, packet, way.mtu);
	if (!is_masqueraded)
		clamp_mss(skb, packet, own->tunnel_mtu);
	verdict = rewrite_packet(skb, packet, &rewrite);
	if (verdict != CONTINUE)
		return verdict;
	if (holder == HOLDER_OTHER)
		return send_to_node(skb, packet, &gateway, TUNNEL_OUTWARD, SENT_TO_HOLDER);
	if (is_turned) {
		packet->sender = rewrite.to;
		packet->flow.source = rewrite.to;
		packet->flow.source_port = rewrite.to_port;
		return CONTINUE;
	}
	return send_to_world(skb, packet, &way, is_masqueraded ? SENT_TO_WORLD_MASQUERADED : SENT_TO_WORLD);
}

/*
 * A packet leaves a pod
 *
 *   1. identify   the sender is the pod that the device belongs to, and does not pass for a node
 *   2. recall     an established flow keeps its address, whatever has changed since
 *   3. classify   cluster traffic and answers to outside connections go their own way
 *   4. open       a new flow: policy set, destination, group, egress IP, port
 *   5. translate  and send: to the holder through the tunnel, or out if this node is the holder
 *   6. turn round where another pod has the port that the packet is for (hairpinning)
 */
static __noinline enum verdict leave_pod(struct __sk_buff *skb, struct packet *packet)
{
	__u64 now = bpf_ktime_get_ns();
	struct mapping *mapping;
	enum verdict verdict;
	struct pod *pod;

	verdict = identify_pod(skb, packet, &pod);
	if (verdict != CONTINUE)
		return verdict;
	if (would_pass_for_node(packet))
		return DROP_TUNNEL_PORT;
	note_fragment(packet);
	mapping = find_mapping(packet, pod, now);
	if (!mapping) {
		verdict = send_within_cluster(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
		if (is_inbound_reply(packet, pod, now))
			return PASS_REPLY;
		verdict = open_flow(packet, pod->policy_set, now);
		if (verdict != CONTINUE)
			return verdict;
		mapping = bpf_map_lookup_elem(&mappings, &packet->flow);
		if (!mapping || mapping->reclaimed)
			return DROP_NO_MAPPING;
	}
	verdict = translate_outward(skb, packet, mapping, now);
	if (verdict != CONTINUE)
		return verdict;
	verdict = return_to_owner(skb, packet, true);
	return verdict == CONTINUE ? DROP_NO_ROUTE : verdict;
}

/*
 * What cannot be translated may still travel inside the cluster: any protocol, and fragments whose first is unknown.
 * To the world it has no way out, unless another CNI plugin has one and no policy claims it.
 */
static __noinline enum verdict leave_pod_untranslated(struct __sk_buff *skb, struct packet *packet,
						      enum verdict reason)
{
	enum verdict verdict;
	struct pod *pod;

	verdict = identify_pod(skb, packet, &pod);
	if (verdict == CONTINUE)
		verdict = send_within_cluster(skb, packet);
	if (verdict == CONTINUE && chained && !find_claim(pod->policy_set, packet))
		return PASS_NOT_SELECTED;
	return verdict == CONTINUE ? reason : verdict;
}

/* ---- from outside, by the stack ---- */

/*
 * Remembers a connection that the stack delivers, as the pod will answer it. The table forgets the oldest; what comes from
 * within the cluster no policy ever claims, so it takes no room.
 */
static __noinline void note_inbound(const struct packet *packet)
{
	struct inbound connection = { .last_ns = bpf_ktime_get_ns() };
	struct flow_key key = packet->flow;
	bool is_icmp = key.protocol == IPPROTO_ICMP || key.protocol == IPPROTO_ICMPV6;

	if (packet->is_icmp_error || (is_icmp && !packet->is_request && !chained) || find_in_cluster(&packet->sender))
		return;
	key.source = packet->flow.destination;
	key.destination = packet->flow.source;
	key.source_port = packet->flow.destination_port;
	key.destination_port = packet->flow.source_port;
	bpf_map_update_elem(&inbound, &key, &connection, BPF_ANY);
}

/* ---- returning ---- */

/*
 * A packet comes in by a native device
 *
 * Only what is for an egress IP's port is ours. The rest is the node's own, also where it cannot be read.
 * The node's own address is shared with its own sockets: without a mapping the stack decides.
 */
static __noinline enum verdict enter_from_world(struct __sk_buff *skb, struct packet *packet)
{
	struct self *own = this_node();
	enum verdict verdict;

	if (!own || is_of_vlan(skb) || parse(skb, packet) != CONTINUE)
		return PASS_NOT_OURS;
	/* On a gateway nearly every other packet comes by the tunnel, and passes here first. */
	if (is_for_tunnel(packet) && same_address(&packet->receiver, &own->tunnel_address))
		return PASS_NOT_OURS;
	verdict = return_to_owner(skb, packet, true);
	/* The tunnel listens at all addresses; nodes know it by one. */
	if (verdict == CONTINUE && is_for_tunnel(packet) &&
	    bpf_map_lookup_elem(&egress_ips, &packet->receiver))
		return DROP_TUNNEL_PORT;
	if (verdict == CONTINUE)
		return may_be_leased(skb, packet, own) ? DROP_NO_MAPPING : PASS_NOT_OURS;
	if (verdict == DROP_NO_MAPPING && is_own_address(own, &packet->receiver))
		return PASS_NOT_OURS;
	return verdict;
}

/* ---- the tunnel ---- */

struct tunnel_end {
	struct address node;
	__u32 vni;
};

/* By itself: its key would lie on the stack below all that comes after, which before 6.8 is short of 32 bytes already. */
static __noinline enum verdict read_tunnel(struct __sk_buff *skb, struct tunnel_end *tunnel)
{
	struct bpf_tunnel_key key = {};

	if (tunnel_key_in_cb) {
		tunnel->vni = skb->cb[0];
		map_ipv4(&tunnel->node, skb->cb[1]);
		return CONTINUE;
	}
	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0)) {
		map_ipv4(&tunnel->node, bpf_htonl(key.remote_ipv4));
	} else if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6)) {
		__builtin_memcpy(&tunnel->node, key.remote_ipv6, sizeof(tunnel->node));
	} else {
		return DROP_UNKNOWN_NODE;
	}
	tunnel->vni = key.tunnel_id;
	return CONTINUE;
}

/*
 * The gateway's part: is this port really that node's? Then forward.
 * What is for another pod's port of an egress IP turns round here (hairpinning, RFC 4787 REQ-9). Who sends what is too big
 * for the way out is told through the tunnel, as if the world had.
 */
static __noinline enum verdict forward_outward(struct __sk_buff *skb, struct packet *packet,
					       const struct address *sender, __u32 sender_slot)
{
	struct egress_ip *egress_ip = bpf_map_lookup_elem(&egress_ips, &packet->sender);
	struct way_out way = {};
	enum verdict verdict;

	if (!egress_ip || sender_slot == NO_SLOT || !same_address(&packet->sender, &packet->flow.source) ||
	    owner_of(egress_ip, packet->flow.source_port) != sender_slot)
		return DROP_NOT_THE_OWNER;
	note_fragment(packet);
	verdict = return_to_owner(skb, packet, true);
	if (verdict != CONTINUE)
		return verdict;
	verdict = find_way_out(skb, packet, &packet->sender, &way);
	if (is_answered(packet, verdict)) {
		verdict = become_too_big(skb, packet, way.mtu ?: SMALLEST_MTU);
		return verdict == CONTINUE ? send_to_node(skb, packet, sender, TUNNEL_RETURN, SENT_TOO_BIG) : verdict;
	}
	if (verdict != CONTINUE)
		return verdict;
	clamp_mss(skb, packet, way.mtu);
	return send_to_world(skb, packet, &way, SENT_FORWARDED);
}

/* Between pods, and between pods and nodes: addresses are as they were sent. */
static __noinline enum verdict deliver_from_cluster(struct __sk_buff *skb, struct packet *packet)
{
	struct pod *pod = bpf_map_lookup_elem(&pods, &packet->receiver);
	struct cluster_destination *destination;

	if (pod)
		return send_to_pod(skb, packet, pod);
	destination = find_in_cluster(&packet->receiver);
	if (!destination || destination->kind != CLUSTER_HOST)
		return DROP_NOT_A_LOCAL_POD;
	/* Its MAC is the sender's: the stack would take it for somebody else's. */
	bpf_skb_change_type(skb, PACKET_HOST);
	return PASS_TO_HOST;
}

/* The kernel answers, so that thousands of sources cost no user-space work; but only for an agent that is well. */
static __noinline enum verdict answer_probe(struct __sk_buff *skb, struct packet *packet, const struct address *node)
{
	__u32 key = 0;
	struct vitals *own = bpf_map_lookup_elem(&vitals, &key);
	bool is_well = own && own->alive_until_ns > bpf_ktime_get_ns();

	return send_to_node(skb, packet, node, is_well ? TUNNEL_PROBE_ANSWER : TUNNEL_PROBE_REFUSAL,
			    SENT_PROBE_ANSWER);
}

/* Only gateways that the agent probes have an entry: nobody else's answers count. */
static __noinline enum verdict hear(struct packet *packet, const struct address *node, bool is_well)
{
	struct heard *heard_of = bpf_map_lookup_elem(&heard, node);

	if (heard_of) {
		heard_of->last_ns = is_well ? bpf_ktime_get_ns() : 0;
		if (!is_well)
			heard_of->refused_ns = bpf_ktime_get_ns();
	}
	packet->action = TC_ACT_SHOT;
	return TAKEN_PROBE_ANSWER;
}

/*
 * A packet comes out of the tunnel
 *
 * Nothing is believed of a sender that is not a node of the cluster; the VNI says what the packet is for.
 */
static __noinline enum verdict enter_from_overlay(struct __sk_buff *skb, struct packet *packet)
{
	struct tunnel_end tunnel = {};
	enum verdict verdict;
	struct node *node;

	if (skb->vlan_present)
		return DROP_VLAN;
	verdict = read_tunnel(skb, &tunnel);
	if (verdict != CONTINUE)
		return verdict;
	node = bpf_map_lookup_elem(&nodes, &tunnel.node);
	if (!node)
		return DROP_UNKNOWN_NODE;
	if (tunnel.vni == TUNNEL_PROBE)
		return answer_probe(skb, packet, &tunnel.node);
	if (tunnel.vni == TUNNEL_PROBE_ANSWER || tunnel.vni == TUNNEL_PROBE_REFUSAL)
		return hear(packet, &tunnel.node, tunnel.vni == TUNNEL_PROBE_ANSWER);
	verdict = parse(skb, packet);
	if (packet->is_of_link)
		return DROP_UNSUPPORTED_PROTOCOL;
	if (tunnel.vni == TUNNEL_POD && (verdict == CONTINUE || verdict == DROP_UNSUPPORTED_PROTOCOL ||
					 verdict == DROP_UNKNOWN_FRAGMENT))
		return deliver_from_cluster(skb, packet);
	if (verdict != CONTINUE)
		return verdict >= DROP_MALFORMED ? verdict : DROP_UNSUPPORTED_PROTOCOL;
	if (tunnel.vni == TUNNEL_OUTWARD)
		return forward_outward(skb, packet, &tunnel.node, node->slot);
	if (tunnel.vni != TUNNEL_RETURN)
		return DROP_UNKNOWN_TUNNEL;
	verdict = return_to_owner(skb, packet, false);
	return verdict == CONTINUE ? DROP_NO_MAPPING : verdict;
}

/* ---- programs ---- */

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	enum verdict verdict = skb->vlan_present ? DROP_VLAN : parse(skb, &packet);

	if (verdict == CONTINUE)
		verdict = leave_pod(skb, &packet);
	else if (verdict == DROP_UNSUPPORTED_PROTOCOL || verdict == DROP_UNKNOWN_FRAGMENT)
		verdict = leave_pod_untranslated(skb, &packet, verdict);
	return leave(skb, &packet, FROM_POD, verdict);
}

/* A packet that the stack delivers to a pod: only connections from outside the datapath come this way, all in chained mode. */
SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct packet packet = {};

	if (parse(skb, &packet) == CONTINUE)
		note_inbound(&packet);
	return leave(skb, &packet, TO_POD, PASS_TO_STACK);
}

SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	struct packet packet = {};

	return leave(skb, &packet, FROM_OVERLAY, enter_from_overlay(skb, &packet));
}

SEC("tc")
int from_world(struct __sk_buff *skb)
{
	struct packet packet = {};

	return leave(skb, &packet, FROM_WORLD, enter_from_world(skb, &packet));
}

SEC("tc")
int sweep(struct __sk_buff *skb)
{
	for (__u32 i = 0; i < SWEEP_RECORDS; i++) {
		__u32 offset = ETH_HLEN + i * sizeof(struct sweep_record);

		if (offset >= skb->len)
			break;
		sweep_one(skb, offset);
	}
	return TC_ACT_UNSPEC;
}

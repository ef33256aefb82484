// SPDX-License-Identifier: GPL-2.0-only
/*
 * The datapath: what happens to a packet on its way out of the cluster and back
 *
 *   pod ── from_pod ──────────── tunnel ────────── from_overlay ── world      outward
 *   pod ── from_overlay ──────── tunnel ────────── from_world ──── world      returning
 *
 * Where both share a link, it takes the place of the tunnel, and from_world that of from_overlay.
 *
 * The source node translates and keeps the state; the gateway checks and forwards. A node may be both.
 *
 * A program is a list of stages. A stage returns CONTINUE, which is 0, or ends the journey: `a ?: b` goes on to b only if a
 * returned CONTINUE. leave() alone turns an ending into a count and an action of tc. Short stages that every packet passes
 * are inlined, because a call costs about 2 ns of some 150.
 *
 * The verifier checks a function that is not static only once, instead of once for each state of its callers. The functions
 * with loops are not static, because a program would reach the verifier's limit otherwise. Before 6.2 the verifier does not
 * take a pointer argument of such a function for the key or value of a map, so the function makes a copy.
 *
 * Before 6.8 each function's stack frame counts in steps of 32 bytes, of which a chain of calls may have 512. Large
 * variables are in functions beside the deepest chain (docs/decisions/0013).
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
#include "machine.h"
#include "packet.h"
#include "extensions.h"
#include "fragment.h"
#include "transport.h"
#include "parse.h"
#include "trace.h"
#include "verdict.h"
#include "cluster.h"
#include "policy.h"
#include "network-policy.h"
#include "holder.h"
#include "flow-end.h"
#include "mapping.h"
#include "service-tables.h"
#include "port.h"
#include "track.h"
#include "rewrite.h"
#include "mss.h"
#include "forward.h"
#include "service.h"
#include "through-stack.h"
#include "too-big.h"
#include "link.h"
#include "return.h"
#include "shared-address.h"
#include "inbound.h"
#include "node-client.h"
#include "from-pod.h"
#include "enter-service.h"
#include "any-service.h"
#include "outside-service.h"
#include "take-service.h"
#include "to-client.h"
#include "new-flow.h"
#include "outward.h"
#include "client-outside.h"
#include "from-client.h"
#include "from-process.h"
#include "to-pod.h"
#include "from-overlay.h"
#include "from-link.h"
#include "from-world.h"
#include "to-world.h"
#include "sweep.h"

char LICENSE[] SEC("license") = "GPL v2";

/* A packet leaves a pod of this node. Only a packet that turns back gets as far as return_to_owner(). */
SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct journey journey = { .now = recent_ns() };
	struct packet packet = {};
	enum verdict verdict = read_from_pod(skb, &packet) ?:
			       identify_pod(skb, &packet, &journey) ?:
			       find_flow(&packet, &journey) ?:
			       take_service(skb, &packet, &journey) ?:
			       refuse_forged_tunnel(&packet) ?:
			       open_flow(skb, &packet, &journey) ?:
			       note_service(&journey) ?:
			       translate_outward(skb, &packet, &journey) ?:
			       return_to_owner(skb, &packet) ?:
			       DROP_NO_ROUTE;

	return leave(skb, &packet, FROM_POD, verdict);
}

/* The stack delivers a packet to a pod. */
SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	enum verdict verdict = read_for_pod(skb, &packet) ?:
			       restore_for_process(skb, &packet) ?:
			       restore_for_pod(skb, &packet) ?:
			       keep_inbound(&packet);

	return leave(skb, &packet, TO_POD, verdict);
}

/* A packet comes out of the tunnel. */
SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	struct tunnel_end tunnel = {};
	struct packet packet = {};
	enum verdict verdict = identify_node(skb, &tunnel) ?:
			       take_probe(skb, &packet, &tunnel) ?:
			       read_from_overlay(skb, &packet) ?:
			       take_packet(skb, &packet, &tunnel);

	return leave(skb, &packet, FROM_OVERLAY, verdict);
}

/* A packet comes in by a native device. */
SEC("tc")
int from_world(struct __sk_buff *skb)
{
	struct tunnel_end source = {};
	struct packet packet = {};
	enum verdict verdict = read_from_world(skb, &packet) ?:
			       pass_tunnel_packet(&packet) ?:
			       (link_path ? take_from_link(skb, &packet, &source) : CONTINUE) ?:
			       forward_from_link(skb, &packet, &source) ?:
			       (replaces_kube_proxy ? enter_for_client(skb, &packet) : CONTINUE) ?:
			       return_from_world(skb, &packet) ?:
			       refuse_tunnel_packet(&packet) ?:
			       refuse_leased_port(skb, &packet) ?:
			       PASS_NOT_OURS;

	return leave(skb, &packet, FROM_WORLD, verdict);
}

/*
 * The stack sends a packet out by a device of the node. Attached where the stack or the programs translate Services, and with
 * forward_by_stack.
 */
SEC("tc")
int to_world(struct __sk_buff *skb)
{
	struct journey journey = { .now = recent_ns() };
	struct packet packet = {};
	enum verdict verdict = read_to_world(skb, &packet) ?:
			       check_handed(skb, &packet) ?:
			       serve_processes(skb, &packet) ?:
			       identify_sender(&packet, &journey) ?:
			       refuse_forged_tunnel(&packet) ?:
			       find_flow(&packet, &journey) ?:
			       open_flow(skb, &packet, &journey) ?:
			       return_through_stack(&journey) ?:
			       translate_outward(skb, &packet, &journey) ?:
			       return_to_owner(skb, &packet) ?:
			       DROP_NO_ROUTE;

	return leave(skb, &packet, TO_WORLD, verdict);
}

/*
 * Runs on no device. The packet of its test run comes in by the device of that run, as if the far side of the veth pair had sent it.
 */
SEC("tc")
int inject(struct __sk_buff *skb)
{
	return bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
}

/* The agent hands in entries of the tables that may have expired. It runs on no device. */
SEC("tc")
int sweep(struct __sk_buff *skb)
{
	sweep_records(skb);
	return TC_ACT_UNSPEC;
}

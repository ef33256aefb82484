// SPDX-License-Identifier: GPL-2.0-only
/*
 * A test run repeated in the kernel goes on with the packet that the run before has changed. This program makes it the packet that
 * it was, with the tunnel key that a packet out of the tunnel has, and passes it on. What that costs is measured with a target
 * that does nothing.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Ethernet, IPv4 and TCP without options. */
#define HEADERS 54

struct fresh {
	__u32 vni;
	__u32 node;	/* host byte order */
	__u8 headers[HEADERS];
	__u8 unused[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fresh);
} fresh SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

SEC("tc")
int empty(struct __sk_buff *skb)
{
	return 0;
}

/* The key that a program sets has the local address where a program that reads one finds the remote address. */
SEC("tc")
int again(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	__u32 first = 0;
	struct fresh *packet = bpf_map_lookup_elem(&fresh, &first);

	if (!packet || bpf_skb_store_bytes(skb, 0, packet->headers, HEADERS, 0))
		return -1;
	key.tunnel_id = packet->vni;
	key.local_ipv4 = packet->node;
	if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 0))
		return -1;
	skb->mark = 0;
	bpf_tail_call(skb, &target, first);
	return -1;
}

char LICENSE[] SEC("license") = "GPL v2";

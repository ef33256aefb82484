/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stand-alone without kube-proxy: the node as a client of Services
 *
 * To the programs the node is one more pod. It has a device, and an address of the pod network that it uses for Services alone.
 */
#ifndef SALLYPORT_NODE_CLIENT_H
#define SALLYPORT_NODE_CLIENT_H

/* Written by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct node_client);
} node_clients SEC(".maps");

/* NULL: the node has no pods of the family. */
static __always_inline struct node_client *find_node_client(__u8 family)
{
	__u32 key = family;

	return bpf_map_lookup_elem(&node_clients, &key);
}

#endif

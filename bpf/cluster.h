/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tables that identify addresses: this node and its pods, the other nodes, and the destinations that belong to the cluster
 *
 * The agent writes these tables. The programs only read them.
 */
#ifndef SALLYPORT_CLUSTER_H
#define SALLYPORT_CLUSTER_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct self);
} self SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PODS);
	__type(key, struct address);
	__type(value, struct pod);
} pods SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_CLUSTER_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cluster_key);
	__type(value, struct cluster_destination);
} cluster SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NODES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct node);
} nodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NODES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct address);
} slots SEC(".maps");

/*
 * The placeholder of a host in the world: 192.0.0.8 (the dummy address of RFC 7600) or 100::8 (of the discard prefix, RFC 6666).
 * No host has it. Host byte order, the words that are not 0.
 */
enum {
	PLACEHOLDER4 = (int)0xc0000008,
	PLACEHOLDER6_FIRST = 0x01000000,
	PLACEHOLDER6_LAST = 8,
};

static __always_inline struct self *this_node(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&self, &key);
}

static __always_inline bool is_own_address(const struct self *own, const struct address *address)
{
	return same_address(address, &own->masquerade4) || same_address(address, &own->masquerade6);
}

static __always_inline struct cluster_destination *find_in_cluster(const struct address *address)
{
	struct cluster_key key = { .prefix_length = 128, .address = *address };

	return bpf_map_lookup_elem(&cluster, &key);
}

static __always_inline bool is_address_of_this_node(const struct address *address)
{
	struct cluster_destination *destination = find_in_cluster(address);

	return destination && destination->kind == CLUSTER_HOST;
}

static __always_inline bool is_for_tunnel(const struct packet *packet)
{
	return packet->flow.protocol == IPPROTO_UDP && !packet->is_icmp_error &&
	       packet->flow.destination_port == bpf_htons(tunnel_port);
}

#endif

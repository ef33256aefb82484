/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tables of Services, and which of them has a port
 */
#ifndef SALLYPORT_SERVICE_TABLES_H
#define SALLYPORT_SERVICE_TABLES_H

/* Written by the agent, like the next two. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICE_ENDPOINTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_place);
	__type(value, struct endpoint);
} service_endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICE_ENDPOINTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_member_key);
	__type(value, struct service_member);
} service_members SEC(".maps");

enum { SERVICE_KEY_BITS = 8 * sizeof(struct service_key) };

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_SERVICE_SOURCES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_source_key);
	__type(value, __u32);
} service_sources SEC(".maps");

/* Written by the programs alone, like the next two. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SERVICE_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct endpoint);
} service_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SERVICE_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct endpoint);
} service_replies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_AFFINITIES);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} affinities SEC(".maps");

static __always_inline void fill_service_key(struct service_key *key, const struct address *address, __be16 port,
					     __u8 protocol)
{
	key->address = *address;
	key->port = port;
	key->protocol = protocol;
	key->reserved = 0;
}

static __always_inline bool takes_node_ports(const struct address *address)
{
	struct cluster_destination *destination = find_in_cluster(address);

	return destination && destination->takes_node_ports;
}

/* The Service that has the port of the address, by its own address or as a node port. Fills in the key of its row. */
static __noinline struct service *find_service(const struct address *address, __be16 port, __u8 protocol,
					       struct service_key *key)
{
	struct service *service;

	fill_service_key(key, address, port, protocol);
	service = bpf_map_lookup_elem(&services, key);
	if (service)
		return service;
	if (!is_ipv4(address))
		key->address.words[2] = 0;
	key->address.words[0] = key->address.words[1] = key->address.words[3] = 0;
	service = bpf_map_lookup_elem(&services, key);
	return service && takes_node_ports(address) ? service : NULL;
}

static __noinline bool admits(const struct service_key *service, const struct address *client)
{
	struct service_source_key key = {
		.prefix_length = SERVICE_KEY_BITS + 128,
		.service = *service,
		.client = *client,
	};

	return bpf_map_lookup_elem(&service_sources, &key);
}

/* May flows of the Service go on to the endpoint? */
static __noinline struct service_member *find_member(const struct service_key *service, const struct endpoint *endpoint)
{
	struct service_member_key key = { .service = *service, .endpoint = *endpoint };

	return bpf_map_lookup_elem(&service_members, &key);
}

static __noinline struct endpoint *endpoint_at(const struct service_key *service, __u32 place)
{
	struct service_place key = { .service = *service, .place = place };

	return bpf_map_lookup_elem(&service_endpoints, &key);
}

#endif

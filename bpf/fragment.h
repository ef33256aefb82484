/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Only the first fragment of a datagram has ports. This table keeps them for the later fragments.
 *
 * A later fragment that comes before the first is dropped. RFC 4787 REQ-14 asks to keep it, which would need a buffer.
 */
#ifndef SALLYPORT_FRAGMENT_H
#define SALLYPORT_FRAGMENT_H

/* Written by from_pod, from_overlay and from_world. The least recently used entry makes room for a new one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTS);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

static __always_inline void fill_fragment_key(struct fragment_key *key, const struct packet *packet)
{
	key->source = packet->sender;
	key->destination = packet->receiver;
	key->id = packet->fragment_id;
	key->protocol = packet->flow.protocol;
}

/* Gives a later fragment the ports of the first. */
static __noinline enum verdict recall_first_fragment(struct packet *packet)
{
	struct fragment_key key = {};
	struct fragment_ports *ports;

	fill_fragment_key(&key, packet);
	ports = bpf_map_lookup_elem(&fragments, &key);
	if (!ports)
		return DROP_UNKNOWN_FRAGMENT;
	packet->flow.source_port = ports->source_port;
	packet->flow.destination_port = ports->destination_port;
	return CONTINUE;
}

/* Call it only once the packet may pass, so that packets from strangers cannot push entries in use out of the table. */
static __noinline void note_fragment(const struct packet *packet)
{
	struct fragment_key key = {};
	struct fragment_ports ports = {
		.source_port = packet->flow.source_port,
		.destination_port = packet->flow.destination_port,
	};

	if (!packet->is_fragment || packet->is_later_fragment)
		return;
	fill_fragment_key(&key, packet);
	bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
}

#endif

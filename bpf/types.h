/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every struct and enum that user space sees. TypeScript reads their layouts from the BTF of the object file.
 *
 * Addresses and ports are in network byte order. Times are nanoseconds of CLOCK_MONOTONIC. Padding is explicit, because the
 * kernel compares map keys byte by byte. Unless a comment says otherwise, the agent writes a table and the programs only
 * read it.
 */
#ifndef SALLYPORT_TYPES_H
#define SALLYPORT_TYPES_H

enum limits {
	MAX_PODS = 1024,		/* of one node; kubelet's default limit is 110, 250 on large nodes */
	MAX_CLUSTER_PREFIXES = 65536,	/* two or three for each node, and Services */
	MAX_RULES = 131072,		/* prefixes of all policy sets together */
	MAX_NETWORK_RULES = 131072,	/* prefixes of all sets of NetworkPolicies together, during a change both old and new */
	MAX_PORT_LISTS = 8192,
	MAX_PORT_RANGES = 32,		/* of a list; a new flow compares its port with each */
	MAX_GROUPS = 16384,
	MAX_GROUP_MEMBERS = 256,	/* egress IPs open to a new flow of one group */
	GROUP_TRIES = 16,		/* egress IPs that a new flow tries, by rank and kind of gateway */
	MAX_EGRESS_IPS = 8192,
	MAX_HOLDERS = 8,		/* the order of an egress IP: its owner and seven successors */
	MAX_NODES = 16384,		/* and slots: less than LEFT_TO_STACK, THIS_NODE and NO_SLOT */
	MAX_LINK_MACS = 65536,		/* a few for each node that shares a link with this one */
	MAX_MAPPINGS = 524288,
	MAX_INBOUND = 65536,
	MAX_FRAGMENTS = 8192,
	MAX_SERVICES = 65536,		/* ports of Services, for each of their addresses */
	MAX_SERVICE_ENDPOINTS = 262144,	/* of all of them together */
	MAX_ENDPOINTS = 32,		/* chained: of one of them. A new flow asks for each whether a policy selects it */
	MAX_SERVICE_FLOWS = 65536,
	MAX_AFFINITIES = 65536,
	MAX_CLIENT_FLOWS = 65536,	/* of clients outside the cluster */
	MAX_SERVICE_SOURCES = 65536,	/* prefixes of all Services that admit only some clients */
	LOCAL_PLACES = 1 << 24,		/* the first place of a Service's endpoints on this node */
	PORT_BLOCK_BITS = 4,		/* a block has 16 ports */
	PORT_BLOCKS = 4096,		/* 65536 >> PORT_BLOCK_BITS */
	PORT_TRIES = 32,		/* independent: if half of the ports are taken, one flow in 2^32 finds none */
	/* In vain, before a flow reports pressure: 1 flow in 10 if 3/4 of the ports are taken (0.75^8), 1 in 65,536 if 1/4 are. */
	CROWDED_TRIES = 8,
	DNS_PORT = 53,
	MAX_POD_FLOWS = 16384,		/* pods of this node, times the egress IPs that they use */
	FEW_FLOWS = 16,			/* of one pod and address: with fewer, it may have the ports that are kept for quiet pods */
	KEPT_PORT = 3,			/* those whose two lowest bits are set: one in four of each block */
	SWEEP_RECORDS = 64,		/* fit into a test run's packet: a page less headers, on any machine */
	FIRST_EGRESS_PORT = 1024,	/* no node owns lower ones */
	MAX_SIMULATED_ROUTES = 256,
	NO_SLOT = 65535,		/* the owner of a port block that no node may use */
	THIS_NODE = 65534,		/* the owner of a masquerading block, which works before the node has a slot */
	LEFT_TO_STACK = 65533,		/* the owner of a block that no node will ever own: NodePorts, servers, external IPs */
};

/* What a tunnel packet carries. The value is its VXLAN network identifier. */
enum tunnel {
	TUNNEL_POD = 1,		/* between pods, and between pods and nodes: not translated */
	TUNNEL_OUTWARD = 2,	/* translated, from the source node to the holder */
	TUNNEL_RETURN = 3,	/* for an egress IP, from a gateway to the node that owns the port */
	TUNNEL_PROBE = 4,		/* is the gateway alive? */
	TUNNEL_PROBE_ANSWER = 5,	/* yes */
	TUNNEL_PROBE_REFUSAL = 6,	/* its kernel is, its agent is not */
	TUNNEL_PORT_REFUSAL = 7,	/* an outward packet, back to its source node: the gateway's stack uses the port */
	TUNNEL_SERVICE = 8,	/* to a Service, as its client outside has sent it, from the entry node to an endpoint's node */
	TUNNEL_SERVICE_REPLY = 9,	/* the endpoint's reply, from the Service's address, back to the entry node */
};

/*
 * The end of a packet's journey. The endings are grouped, so that "is a drop" is one comparison: verdict >= DROP_MALFORMED.
 * Metrics and the monitor derive their reasons from these names.
 */
enum verdict {
	CONTINUE = 0,			/* no ending: the next stage takes over */

	/* Passed to the kernel's stack as it is */
	PASS_NOT_OURS = 1,		/* not for a port of an egress IP that has an owner */
	PASS_TO_HOST,			/* a pod talks to its own node */
	PASS_TO_STACK,			/* a destination that is left to the stack (Services, pods of another CNI plugin) */
	PASS_REPLY,			/* a pod replies to a connection that came from outside */
	PASS_LINK_LOCAL,		/* it stays on the link: ARP, neighbour discovery, multicast with a TTL of 1 */
	PASS_NOT_SELECTED,		/* no policy selects it, and it is left to the other CNI plugin */
	PASS_FROM_STACK,		/* the stack forwards it, and it still has its egress IP (gatewayForwarding: stack) */

	/* Sent on */
	SENT_TO_POD = 16,		/* delivered on this node */
	SENT_TO_NODE,			/* traffic of pods, through the tunnel */
	SENT_TO_HOLDER,			/* translated, through the tunnel to the holder */
	SENT_TO_OWNER,			/* returning, through the tunnel to the node that owns the port */
	SENT_TO_WORLD,			/* translated to an egress IP or a Service's address, out by the kernel's routes */
	SENT_TO_WORLD_MASQUERADED,	/* translated to the node's address, because no policy selects it */
	SENT_FORWARDED,			/* by a gateway, for another node */
	SENT_TOO_BIG,			/* answered with "fragmentation needed" or "packet too big" */
	SENT_PROBE_ANSWER,
	TAKEN_PROBE_ANSWER,		/* noted, and it goes no further */
	SENT_PORT_REFUSAL,		/* back to the source node, because this gateway's stack uses the port */
	SENT_THROUGH_STACK,		/* translated, and handed to the stack, whose rules decide (gatewayForwarding: stack) */
	SENT_TO_HOLDER_BY_LINK,		/* translated, to the holder's MAC, without a tunnel */
	SENT_TO_OWNER_BY_LINK,		/* returning, to the MAC of the node that owns the port, without a tunnel */
	SENT_REFUSAL,			/* answered with "port unreachable": the Service has no endpoint, or no such port */
	SENT_TO_ENDPOINT,		/* of a client outside, through the tunnel to the node of a Service's endpoint */

	/* Dropped */
	DROP_MALFORMED = 32,		/* truncated, impossible lengths, bad header */
	DROP_UNKNOWN_POD,		/* the sender has no entry (yet) */
	DROP_SPOOFED_SOURCE,		/* a pod sends from an address that is not its own */
	DROP_UNKNOWN_NODE,		/* a tunnel packet from an address that is not a cluster node, or for a slot without a node */
	DROP_UNKNOWN_TUNNEL,		/* a VNI that is not in enum tunnel */
	DROP_NOT_A_LOCAL_POD,		/* a tunnel packet for a pod that is not here */
	DROP_NO_GATEWAY,		/* the policy selects no node */
	DROP_NO_EGRESS_IP,		/* the gateway has no address of this family, or the interface has none */
	DROP_NO_LIVE_GATEWAY,		/* no gateway is reachable that may answer for the egress IP */
	DROP_NO_FREE_PORT,		/* no port of this node is free towards this destination */
	DROP_TABLE_FULL,		/* no room for another mapping */
	DROP_NOT_THE_OWNER,		/* the source port of a tunnelled packet is not the sender's */
	DROP_NO_MAPPING,		/* the flow that the packet seems to belong to has no mapping */
	DROP_UNSUPPORTED_PROTOCOL,	/* it has no ports to translate */
	DROP_UNKNOWN_FRAGMENT,		/* the first fragment of its datagram has not come */
	DROP_TTL_EXCEEDED,
	DROP_NO_ROUTE,
	DROP_LOOP,			/* a gateway believes that this node owns the port; this node believes that another does */
	DROP_POLICY_INVALID,		/* the policy cannot be honoured for another reason */
	DROP_INTERNAL,			/* a helper of the kernel failed */
	DROP_NETWORK_POLICY,		/* no NetworkPolicy that selects the pod allows the flow, or the agent is to refuse such pods */
	DROP_TUNNEL_PORT,		/* a datagram to the tunnel's port that would pass for a node's, or that comes from outside */
	DROP_VLAN,			/* it has a VLAN tag, which would lead into another network */
	DROP_TOO_BIG,			/* for the route; it may be fragmented, so its sender expects no answer */
	DROP_MULTICAST,			/* it could leave the link, and gateways forward only unicast */
	DROP_POD_LIMIT,			/* the pod has as many flows of the egress IP as a pod may have */
	DROP_PORT_IN_USE,		/* the gateway's stack uses the port towards this destination; the flow gets another */
	DROP_SHARED_ECHO,		/* an echo request with the address of a node whose stack uses the address, too */
	DROP_ADDRESS_CHANGED,		/* a rule of the stack gave a translated packet another source address */
	DROP_NO_ENDPOINT,		/* the Service has no endpoint, and a packet of this kind gets no "port unreachable" */
	DROP_SOURCE_RANGES,		/* the Service's loadBalancerSourceRanges do not admit the client */
	VERDICTS,
};

/* The program that ended a journey. Counters and drops are kept by program and verdict. */
enum program {
	FROM_POD = 0,
	TO_POD,
	FROM_OVERLAY,
	FROM_WORLD,
	TO_WORLD,
	PROGRAMS,
};

/* 128 bits; IPv4 is mapped (::ffff:a.b.c.d). Words, not bytes, because the compiler copies aligned words in four moves. */
struct address {
	__be32 words[4];
};

/* Key of `pods`: struct address. A pod of this node, or the node as a client of Services. */
struct pod {
	__u64 policy_set;	/* 0: no policy selects it */
	__u64 network_set;	/* of `network_rules`; 0: no NetworkPolicy restricts its egress */
	__u64 since_ns;		/* when the pod got the address; an older mapping belonged to another pod */
	__u32 ifindex;		/* host side of its veth */
	__u8 mac[6];		/* the pod's own */
	__u8 host_mac[6];	/* of the host side, which is the pod's router */
	__u32 quarantined;	/* 1: the pod's entries are not complete, and whatever it sends is dropped */
	__u32 is_node;		/* 1: no pod, but the address with which the node's own processes reach Services */
};

/* Key of the LPM `cluster`: destinations to which no egress policy applies. */
struct cluster_key {
	__u32 prefix_length;	/* of the 128 bits */
	struct address address;
};

enum cluster_kind {
	CLUSTER_NODE = 1,	/* another node, through the tunnel; in chained mode by the stack */
	CLUSTER_HOST,		/* this node itself: each of its addresses */
	CLUSTER_STACK,		/* left to the kernel's stack: Services, pods of another CNI plugin */
	CLUSTER_PODS,		/* pods of another node, through the tunnel: the node has a route to them */
	CLUSTER_ROUTED,		/* outside the cluster, and left to the stack untranslated; not in chained mode */
};

struct cluster_destination {
	__u32 kind;		/* enum cluster_kind */
	__u16 carries_flows;	/* 1: an egress IP, whose ports with an owner belong to flows of pods and not to the node */
	__u16 takes_node_ports;	/* 1: an address of a node at which Services have their node ports */
	struct address node;	/* with CLUSTER_NODE and CLUSTER_PODS: where the tunnel ends */
};

/* Key of the LPM `rules`: which rule a destination has in a policy set. */
struct rule_key {
	__u32 prefix_length;	/* 64 (the whole policy set) plus that of the 128 bits */
	__u32 policy_set[2];	/* low and high half: a u64 would pad the key of a trie */
	struct address destination;
};

enum rule_action {
	RULE_EGRESS = 1,	/* leaves by `group` */
	RULE_EXCLUDE,		/* as if no policy selected it */
	RULE_DROP,		/* for the reason in `verdict` */
};

struct rule {
	__u64 group;
	__u64 policy;		/* the policy's id, for counters and flow lists */
	__u32 action;		/* enum rule_action */
	__u32 verdict;		/* enum verdict, with RULE_DROP */
};

/* Key of the LPM `network_rules`: to which destinations NetworkPolicies let pods send. */
struct network_rule_key {
	__u32 prefix_length;	/* 64 (the whole set) plus that of the 128 bits */
	__u32 network_set[2];	/* low and high half */
	struct address destination;
};

enum network_action {
	NETWORK_DENY = 1,
	NETWORK_ALLOW,		/* every protocol and port */
	NETWORK_ALLOW_PORTS,	/* those of `port_list` */
};

/* The longest prefix says all that any NetworkPolicy allows for its addresses, so one lookup is enough. */
struct network_rule {
	__u64 port_list;	/* with NETWORK_ALLOW_PORTS */
	__u32 action;		/* enum network_action */
	__u32 reserved;
};

struct port_range {
	__u16 first;		/* host byte order */
	__u16 last;
	__u16 protocol;		/* IPPROTO_* */
};

/* Key of `port_lists`: __u64 id. */
struct port_list {
	__u32 count;
	struct port_range ranges[MAX_PORT_RANGES];
};

/*
 * Key of `groups`: __u64 id. The egress IPs open to a new flow: the preferred ones first, then the standby ones for when no
 * gateway answers for a preferred one.
 */
struct group {
	__u32 count;
	__u32 preferred;	/* of `count`; at least 1 */
	__u32 keeps_address;	/* 1: a preferred one at its successor comes before a standby one at its owner */
	__u32 reserved;
	struct address egress_ips[MAX_GROUP_MEMBERS];
};

/*
 * Key of `egress_ips`: struct address. The gateways that may answer for it, and the owners of its ports. `order` lists
 * tunnel addresses of nodes: the owner first, then the successors.
 */
struct egress_ip {
	__u32 holder_count;
	__u32 ifindex;		/* the only device by which its packets leave this node; 0: the kernel's routes choose one */
	struct address order[MAX_HOLDERS];
	__u16 block_owner[PORT_BLOCKS];	/* slot, NO_SLOT, THIS_NODE or LEFT_TO_STACK; indexed by port >> PORT_BLOCK_BITS */
};

/*
 * Key of `pools`: the port blocks of an address that this node may use for new flows. A node's own address has two pools:
 * one for masquerading, one for policies that name neither interface nor egress IP.
 */
enum pool_purpose {
	POOL_EGRESS = 1,
	POOL_MASQUERADE,
};

struct pool_key {
	struct address address;
	__u32 purpose;		/* enum pool_purpose */
};

struct pool {
	__u32 count;		/* of `blocks` that are valid */
	__u32 reserved;
	__u16 blocks[PORT_BLOCKS];	/* each block's first port, host byte order, >> PORT_BLOCK_BITS */
};

/* Key of `nodes`: struct address, the node's tunnel address. Tunnel packets from other addresses are dropped. */
struct node {
	__u32 slot;		/* NO_SLOT: the node has none yet */
	__u32 reserved;
};

/*
 * Key of `links`: struct address, a node's tunnel address. The node is on a link of this node, and packets can go to it
 * without a tunnel while it answers probes on the link. The agent writes all but `answered_ns`.
 */
struct link {
	__u64 answered_ns;		/* when it last proved that it gets what this node sends by the link; 0: never */
	struct address probe_source;	/* an egress IP of the node, from which probes seem to come; ::: none */
	__u32 ifindex;			/* this node's device on the link */
	__u32 mtu;			/* of the device */
	__u8 mac[6];			/* the node's, and then this node's, as in a frame */
	__u8 own_mac[6];
	__u32 reserved;
};

/* Key of `link_macs`: whose frames these are. Value: struct address, the node's tunnel address. */
struct link_mac {
	__u8 mac[6];
	__u8 reserved[2];
};

/*
 * A probe on a link is a UDP datagram that looks as packets of pods do: from an egress IP to the placeholder of the world
 * (bpf/link.h). Its answer comes from there. Its source port says whether the sender has lately received an answer.
 */
enum link_probe {
	LINK_PROBE_PORT = 9,		/* its destination port, of the discard protocol (RFC 863) */
	LINK_PROBE_UNANSWERED = 9,
	LINK_PROBE_ANSWERED = 10,
};

/* Key of `slots`: __u32 slot. Value: struct address, the tunnel address of the node that has it. */

/* Key of the array `self`: 0. This node. */
struct self {
	struct address tunnel_address;
	struct address masquerade4;	/* mapped. In chained mode, the address that the node's stack and flows of policies share */
	struct address masquerade6;
	__u32 has_masquerade4;
	__u32 has_masquerade6;
	__u32 slot;			/* NO_SLOT: none yet, and only masquerading works */
	__u32 overlay_ifindex;
	__u32 tunnel_mtu;		/* largest inner IP packet that the tunnel carries whole */
	__u32 forward_ifindex;		/* by which translated packets enter the stack, with the tunnel's MAC; 0: they do not */
	__u8 overlay_mac[6];		/* of this node alone: a VXLAN device drops frames whose source is its own MAC */
	__u8 reserved2[2];
};

/* A flow as one side sees it. The identifier of an ICMP echo is the port of the side that chose it; the other port is 0. */
struct flow_key {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;		/* IPPROTO_* */
	__u8 reserved[3];
};

enum mapping_state {
	STATE_REPLIED = 1,		/* something came back */
	STATE_FIN_OUT = 2,
	STATE_FIN_IN = 4,
	STATE_FIN_OUT_ACKED = 8,
	STATE_FIN_IN_ACKED = 16,
	STATE_POD_CLOSED_FIRST = 32,
	STATE_RESET = 64,		/* by the pod */
	STATE_ESTABLISHED = 128,	/* the handshake is complete */
};

/*
 * Key of `mappings`: struct flow_key as the pod sends it. `ports` is the reverse: its key is the struct flow_key with the
 * egress IP and port as source, its value the key of the mapping. An entry of `ports` means that the port is taken. The
 * programs alone write both. Counts and times may miss a packet if two CPUs write them at once.
 */
struct mapping {
	struct bpf_spin_lock lock;	/* for `reclaimed` alone */
	__u8 reclaimed;			/* 1: a CPU deletes the mapping */
	__u8 is_of_client;		/* 1: of a client outside that calls a Service whose endpoint is outside, not of a pod */
	__u8 through_stack;		/* 1: the stack translated the destination, and must see the replies */
	__u8 through_service;		/* 1: `service_replies` has the destination that the pod sent to */
	struct address egress_ip;
	__be16 egress_port;
	__u8 state;			/* enum mapping_state, or-ed */
	__u8 masqueraded;		/* 1: the address is this node's own and there is no policy */
	__u32 fin_out_end;		/* the sequence number after the pod's FIN, host byte order */
	__u32 fin_in_end;
	__u32 acknowledged;		/* what the pod acknowledged last; 0: nothing yet */
	__u64 policy;
	__u64 created_ns;
	__u64 last_outward_ns;
	__u64 last_inward_ns;
	__u64 closed_ns;		/* when both FINs had been acknowledged; 0: not yet */
	__u64 packets_out;
	__u64 packets_in;
	__u64 bytes_out;
	__u64 bytes_in;
};

/*
 * Key of `services`: one port of a Service. Chained, the Service leads out of the cluster. Port and protocol 0: chained, all
 * that has no ports to translate; stand-alone, all other ports of the address. The unspecified address (IPv4 or IPv6): a node port.
 */
struct service_key {
	struct address address;
	__be16 port;
	__u8 protocol;		/* IPPROTO_* */
	__u8 reserved;
};

/*
 * Also the value of the LRU `service_flows`, whose key is the struct flow_key as the pod sends it, and of the LRU
 * `service_replies`, whose key is that of the mapping and whose value is the Service's address and port.
 */
struct endpoint {
	struct address address;
	__be16 port;
	__u16 reserved;
};

/* Which endpoints clients outside the cluster reach at the address. */
enum client_access {
	CLIENTS_NONE = 0,	/* a cluster IP */
	CLIENTS_ANY_NODE,	/* externalTrafficPolicy: Cluster */
	CLIENTS_THIS_NODE,	/* externalTrafficPolicy: Local */
};

struct service {
	__u64 affinity_ns;	/* how long a client keeps its endpoint (sessionAffinity: ClientIP); 0: it does not */
	__u32 count;		/* of endpoints for new flows */
	__u32 local_count;	/* of those on this node; 0 with CLIENTS_NONE */
	__u32 clients;		/* enum client_access */
	__u32 has_sources;	/* 1: `service_sources` has the clients that are admitted */
};

/*
 * Key of `service_endpoints`: struct endpoint. The endpoints for new flows have the places from 0 to `count` - 1. Those on this
 * node are listed again from LOCAL_PLACES on.
 */
struct service_place {
	struct service_key service;
	__u32 place;
};

/* Key of `service_members`: an endpoint to which flows of the Service may go on. */
struct service_member_key {
	struct service_key service;
	struct endpoint endpoint;
};

struct service_member {
	__u32 takes_new;	/* 0: it is about to end */
};

/* Key of the LRU `affinities`. The programs alone write the table. */
struct affinity_key {
	struct service_key service;
	struct address client;
};

struct affinity {
	__u64 last_ns;		/* when the client opened its last flow */
	struct endpoint endpoint;
	__u32 reserved;
};

/* Key of the LPM `service_sources`: which clients a port of a Service admits. Value: __u32, which has no meaning. */
struct service_source_key {
	__u32 prefix_length;	/* SERVICE_KEY_BITS plus that of the 128 bits */
	struct service_key service;
	struct address client;
};

/*
 * Value of the LRU `client_replies`, whose key is the struct flow_key as an endpoint of this node sends it. The programs alone write
 * the table, and the LRU `client_flows`, whose key is the struct flow_key as the client sends it, and whose value is the endpoint.
 */
struct client_reply {
	struct endpoint service;	/* to which the client has sent */
	struct address entry;		/* tunnel address of the node by which the client's last packet came */
	__u32 reserved;
	__u64 last_ns;			/* of the flow's last packet in either direction */
};

/*
 * Key of `node_clients`: __u32 family, 4 or 6. The addresses of the node as a client of Services, which the agent routes into the
 * device of the node's entry in `pods`.
 */
struct node_client {
	struct address address;		/* from which the node's processes speak to Services; a key of `pods` */
	struct address turned;		/* from which a process sees another one of the same node that reaches it by a Service */
};

/*
 * Key of the LRU `process_calls`: struct flow_key as from_pod sees it. Value: struct address, the address that the process has sent
 * from. The programs alone write it.
 */

enum sweep_task {
	SWEEP_MAPPING = 1,	/* a key of `mappings`: delete it and its port if it has expired */
	SWEEP_PORT,		/* a key of `ports`: is there a mapping that has this port? */
	SWEEP_ORPHAN,		/* a port that had no mapping a sweep ago: delete it if it still has none */
	SWEEP_TAKEN,		/* a key of `ports`: does a flow have it that does not give it up to another? */
};

enum sweep_answer {
	SWEPT_KEPT = 1,
	SWEPT_REMOVED,		/* now or before */
	SWEPT_ORPHAN,
};

/* The program `sweep` takes up to SWEEP_RECORDS of these behind an Ethernet header, and writes its answers into them. */
struct sweep_record {
	struct flow_key entry;
	__u32 task;		/* enum sweep_task */
	__u32 answer;		/* enum sweep_answer */
};

/* Key of the LRU `fragments`: a datagram. The programs alone write the table. */
struct fragment_key {
	struct address source;
	struct address destination;
	__u32 id;
	__u32 protocol;
};

struct fragment_ports {
	__be16 source_port;
	__be16 destination_port;
};

/*
 * Key of the LRU `inbound`: struct flow_key as the pod will reply. A connection that came from outside. The programs write
 * it.
 */
struct inbound {
	__u64 last_ns;
};

/* Key of the per-CPU `counters`: program * VERDICTS + verdict. The programs write it. */
struct counter {
	__u64 packets;
	__u64 bytes;
};

/* Key of `policy_drops`: dropped new flows by policy, egress IP and reason. Value: __u64. All CPUs count in it. */
struct policy_drop_key {
	__u64 policy;
	struct address egress_ip;
	__u32 verdict;
	__u32 reserved;
};

/*
 * Key of `ended_flows`: what the mappings of a policy and an egress IP had counted when they were deleted. The programs add to
 * it. The agent removes what belongs to policies that are gone.
 */
struct ended_flows_key {
	__u64 policy;			/* 0: flows that no policy selects, and then `egress_ip` is zero */
	struct address egress_ip;
};

struct ended_flows {
	__u64 flows;
	__u64 packets_out;
	__u64 packets_in;
	__u64 bytes_out;
	__u64 bytes_in;
};

/* Key of the per-CPU array `drop_budgets`: 0. How many drops a CPU has reported since `since_ns`. */
struct drop_budget {
	__u64 since_ns;
	__u64 records;
};

/* The test packet that the programs follow (sallyport explain --send). All zero: none, which is what they find nearly always. */
struct traced_flow {
	__u32 protocol;		/* IPPROTO_TCP or IPPROTO_UDP */
	__u32 sequence;		/* TCP: of the SYN, host byte order */
	struct address far;	/* UDP: the far end */
	__be16 far_port;
	__u8 reserved[6];
};

/* One record of the ring buffer `passages`: a program has handled a test packet, or an answer to it. */
struct passage {
	__u64 time_ns;
	struct flow_key flow;	/* as the program found it; of an ICMP error: that of a packet of its direction */
	struct address sender;	/* of the packet itself */
	__u32 program;		/* enum program */
	__u32 verdict;		/* enum verdict */
	__u8 tcp_flags;
	__u8 is_icmp_error;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 reserved[4];
};

/* One record of the ring buffer `drops`. */
struct drop {
	__u64 time_ns;
	struct flow_key flow;		/* as far as it could be read */
	__u32 program;			/* enum program */
	__u32 verdict;			/* enum verdict */
	__u32 ifindex;
	__u32 length;			/* of the packet, bytes */
};

/* One record of the ring buffer `flow_ends`: a mapping that was deleted. */
struct flow_end {
	struct flow_key flow;		/* as the pod sent it */
	struct address egress_ip;
	__be16 egress_port;
	__u8 state;			/* enum mapping_state, or-ed */
	__u8 reserved;
	__u32 reserved2;
	__u64 policy;
	__u64 created_ns;
	__u64 last_outward_ns;
	__u64 last_inward_ns;
	__u64 ended_ns;			/* from now on another flow may have the port */
	__u64 packets_out;
	__u64 packets_in;
	__u64 bytes_out;
	__u64 bytes_in;
};

/*
 * Key of the LRU `pod_flows`. Value: __u32, how many flows of the egress IP the pod has open. The programs write it. It may
 * be too low, never for long too high: flows that an earlier version made are not in it, and an entry may be evicted.
 */
struct pod_flows_key {
	struct address pod;
	struct address egress_ip;	/* zero: flows that no policy selects. The node's own address may be an egress IP, too. */
};

/*
 * One record of the ring buffer `pressures`: a pool of POOL_EGRESS runs low on free ports towards some destination, or a
 * pod comes close to its limit. A pool has one record in 10 ms at most (pressure_interval_ns).
 */
struct port_pressure {
	__u64 time_ns;
	struct flow_key port;	/* a key of `ports`: the last that was tried */
	__u32 tries;		/* of this flow, in vain */
	__u32 refused;		/* flows that found no port, as in struct pool_pressure */
};

/* Key of the LRU `pool_pressures`: struct pool_key. All CPUs write it. */
struct pool_pressure {
	__u64 reported_ns;	/* when the last record was made */
	__u32 refused;		/* flows that have ever found no port; it wraps around */
	__u32 reserved;
};

/*
 * Key of `probed_gateways`: struct address, a gateway's tunnel address. A gateway without an entry counts as reachable. The
 * agent adds and deletes entries; from_overlay notes each answer. The agent writes a whole entry when a gateway starts or
 * stops flapping. An answer that comes in that moment may be lost; the next one makes up for it.
 */
struct probed_gateway {
	__u64 answered_ns;		/* its last answer; 0: none yet, or it has refused since */
	__u64 refused_ns;		/* its last refusal; 0: none yet. The path works then, and the gateway's agent does not */
	__u64 flapping_until_ns;	/* it came and went too often */
};

/* Where a program sent a packet, as far as a simulation has to know. */
enum departure {
	DEPARTED_NOT = 0,	/* dropped, taken, or left to the stack */
	DEPARTED_TO_POD,	/* into the namespace of the pod that `sent_ifindex` belongs to */
	DEPARTED_INTO_TUNNEL,
	DEPARTED_BY_DEVICE,	/* out by `sent_ifindex` */
};

/*
 * Key of the array `simulated_run`: 0. A simulation writes the first half before each run of a program, and reads the
 * second half after it.
 */
struct simulated_run {
	__u64 now_ns;			/* what CLOCK_MONOTONIC would say */
	__u64 random;			/* state of the random numbers; any value is a seed */
	struct address tunnel_source;	/* of from_overlay: the node that sent the packet */
	__u32 tunnel_vni;		/* of from_overlay: enum tunnel */
	__u32 ifindex;			/* the device that the packet came by */
	__u32 has_own_socket;		/* 1: a socket of the node would take the packet */

	__u32 verdict;			/* enum verdict */
	__u32 departure;		/* enum departure */
	__u32 sent_ifindex;
	__u32 sent_vni;			/* with DEPARTED_INTO_TUNNEL, as the next */
	__u32 reserved;
	struct address sent_node;
};

/* Key of the LPM `simulated_routes`: struct cluster_key. Where the kernel's routes would send a packet. */
struct simulated_route {
	__u32 ifindex;
	__u32 mtu;
};

/* Key of the array `liveness`: 0. */
struct liveness {
	__u64 alive_until_ns;	/* this node answers probes until then, and refuses them later; the agent moves it on */
	__u64 probing_until_ns;	/* this node's agent is probing until then; later every gateway counts as reachable */
};

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Every struct and enum that user space sees. TypeScript reads the layouts from the BTF of the object
 * file, so a field that is added here is there too, and nothing is written down twice.
 *
 * Addresses and ports are in network byte order, times are nanoseconds of CLOCK_MONOTONIC.
 * Padding is explicit: a map key is compared byte by byte.
 */
#ifndef SALLYPORT_TYPES_H
#define SALLYPORT_TYPES_H

enum limits {
	MAX_PODS = 1024,		/* of one node: kubelet's own limit is 110, 250 on large ones */
	MAX_CLUSTER_PREFIXES = 65536,	/* two or three of each node, and Services */
	MAX_RULES = 131072,		/* prefixes of all policy sets together */
	MAX_GROUPS = 16384,
	MAX_GROUP_MEMBERS = 256,	/* egress IPs open to a new flow of one group */
	GROUP_TRIES = 16,		/* egress IPs that a new flow looks at in each pass over its group */
	MAX_EGRESS_IPS = 8192,
	MAX_HOLDERS = 8,		/* the order of an egress IP: its owner and seven successors */
	MAX_NODES = 16384,		/* and slots: below the two values that mean something else */
	MAX_MAPPINGS = 524288,
	MAX_INBOUND = 65536,
	MAX_FRAGMENTS = 8192,
	PORT_BLOCK_BITS = 4,		/* 16 ports are given together */
	PORT_BLOCKS = 4096,		/* 65536 >> PORT_BLOCK_BITS */
	PORT_TRIES = 32,		/* independent: with half of the ports taken, one flow in 2^32 finds none */
	CROWDED_TRIES = 8,		/* that collided: of ten flows one says so with 3/4 of the ports taken, none with 1/4 */
	SWEEP_RECORDS = 64,		/* that fit into what a test run takes: a page less headers, on any machine */
	FIRST_EGRESS_PORT = 1024,	/* lower ones are never given out */
	FIRST_NODE_PORT = 30000,	/* Kubernetes' default: the stack translates these, without a socket */
	LAST_NODE_PORT = 32767,
	MAX_SIMULATED_ROUTES = 256,
	NO_SLOT = 65535,		/* the owner of a port block that nobody may use */
	THIS_NODE = 65534,		/* the owner of a masquerading block: it works before a slot is given */
};

/* What a tunnel packet carries; the value is the VXLAN network identifier. */
enum tunnel {
	TUNNEL_POD = 1,		/* between pods, and between pods and nodes: addresses as they are */
	TUNNEL_OUTWARD = 2,	/* translated, from the source node to the holder */
	TUNNEL_RETURN = 3,	/* for an egress IP, from a gateway to the node that owns the port */
	TUNNEL_PROBE = 4,	/* is the gateway alive? */
	TUNNEL_PROBE_ANSWER = 5,	/* it is */
	TUNNEL_PROBE_REFUSAL = 6,	/* its kernel is, its agent is not */
};

/*
 * The end of a packet's journey. Grouped, so that "is a drop" is one comparison: verdict >= DROP_MALFORMED.
 * User space turns a name into the metric's and the monitor's reason.
 */
enum verdict {
	CONTINUE = 0,			/* not an ending: the next stage takes over */

	/* Passed to the kernel's stack as it is */
	PASS_NOT_OURS = 1,		/* neither an egress IP's owned port nor a pod's packet */
	PASS_TO_HOST,			/* a pod talks to its own node */
	PASS_TO_STACK,			/* a destination that the configuration leaves to the stack (Services, another CNI) */
	PASS_REPLY,			/* a pod's answer to a connection that came from outside */
	PASS_LINK_LOCAL,		/* ARP, neighbour discovery, multicast listener reports */
	PASS_NOT_SELECTED,		/* no policy claims it, and another CNI plugin has the network */

	/* Sent on */
	SENT_TO_POD = 16,		/* delivered on this node */
	SENT_TO_NODE,			/* pod traffic, through the tunnel */
	SENT_TO_HOLDER,			/* translated, through the tunnel to the holder */
	SENT_TO_OWNER,			/* returning, through the tunnel to the node that owns the port */
	SENT_TO_WORLD,			/* translated, out by the kernel's routes: a policy's egress IP */
	SENT_TO_WORLD_MASQUERADED,	/* the same with the node's address: no policy selects it */
	SENT_FORWARDED,			/* by a gateway, for another node */
	SENT_TOO_BIG,			/* answered with "fragmentation needed" or "packet too big" */
	SENT_PROBE_ANSWER,
	TAKEN_PROBE_ANSWER,		/* and it goes no further */

	/* Dropped */
	DROP_MALFORMED = 32,		/* truncated, impossible lengths, bad header */
	DROP_UNKNOWN_POD,		/* the sender has no entry (yet) */
	DROP_SPOOFED_SOURCE,		/* a pod sends from an address that is not its own */
	DROP_UNKNOWN_NODE,		/* a tunnel packet from an address that is no node of ours */
	DROP_UNKNOWN_TUNNEL,		/* a VNI that means nothing */
	DROP_NOT_A_LOCAL_POD,		/* a tunnel packet for a pod that is not here */
	DROP_NO_GATEWAY,		/* the policy selects no node */
	DROP_NO_EGRESS_IP,		/* the gateway has no address of this family, or the interface has none */
	DROP_NO_LIVE_GATEWAY,		/* nobody answers for the egress IP now */
	DROP_NO_FREE_PORT,		/* no port of this node is free towards this destination */
	DROP_TABLE_FULL,		/* no room for another mapping */
	DROP_NOT_THE_OWNER,		/* the source port of a tunnelled packet is not the sender's */
	DROP_NO_MAPPING,		/* nothing is known of the flow that this packet claims to belong to */
	DROP_UNSUPPORTED_PROTOCOL,	/* it has no ports to translate */
	DROP_UNKNOWN_FRAGMENT,		/* its first fragment was not seen */
	DROP_TTL_EXCEEDED,
	DROP_NO_ROUTE,			/* the FIB has no answer */
	DROP_LOOP,			/* a gateway takes this node for the owner of a port, and this node another */
	DROP_POLICY_INVALID,		/* the policy cannot be honoured for another reason */
	DROP_INTERNAL,			/* a helper of the kernel failed */
	DROP_NETWORK_POLICY,		/* a NetworkPolicy restricts the pod, which could not hold where a gateway is the way */
	DROP_TUNNEL_PORT,		/* a datagram to a tunnel that would be taken for a node's, or that comes from outside */
	DROP_VLAN,			/* a VLAN tag, where there is none: it would lead into another network */
	DROP_TOO_BIG,			/* for the way out, and nobody may be told: it may be fragmented, by others */
	VERDICTS,
};

/* The program that ended a journey: counters and drops are kept by program and verdict. */
enum program {
	FROM_POD = 0,
	TO_POD,
	FROM_OVERLAY,
	FROM_WORLD,
	PROGRAMS,
};

/* 128 bits; IPv4 is mapped (::ffff:a.b.c.d). Words, not bytes: the compiler copies what is aligned in four moves. */
struct address {
	__be32 words[4];
};

/* Key of `pods`: struct address. A pod of this node. Written by the agent. */
struct pod {
	__u64 policy_set;	/* 0: no policy selects it */
	__u64 since_ns;		/* when the pod got the address: an older mapping is its predecessor's */
	__u32 ifindex;		/* host side of its veth */
	__u8 mac[6];		/* the pod's own */
	__u8 host_mac[6];	/* of the host side, which the pod takes for its router */
	__u32 quarantined;	/* 1: entries are not complete, everything that leaves is dropped */
	__u32 reserved;
};

/* Key of the LPM `cluster`: destinations in the cluster, which no policy ever applies to. */
struct cluster_key {
	__u32 prefix_length;	/* of the 128 bits */
	struct address address;
};

enum cluster_kind {
	CLUSTER_NODE = 1,	/* through the tunnel to `node`: its pods, or itself; chained, itself alone, and the stack knows the way */
	CLUSTER_HOST,		/* this node itself */
	CLUSTER_STACK,		/* the kernel's stack knows: Services, pods of another CNI */
};

struct cluster_destination {
	__u32 kind;		/* enum cluster_kind */
	struct address node;	/* with CLUSTER_NODE: where the tunnel ends */
};

/* Key of the LPM `rules`: which rule a destination has in a policy set. */
struct rule_key {
	__u32 prefix_length;	/* 64 (the whole policy set) plus that of the 128 bits */
	__u32 policy_set[2];	/* low and high half: a u64 would pad the key of a trie */
	struct address destination;
};

enum rule_action {
	RULE_EGRESS = 1,	/* leaves by `group` */
	RULE_EXCLUDE,		/* masqueraded, as if no policy selected it */
	RULE_DROP,		/* `verdict` says why */
};

struct rule {
	__u64 group;
	__u64 policy;		/* the policy's id, for counters and flow lists */
	__u32 action;		/* enum rule_action */
	__u32 verdict;		/* enum verdict, with RULE_DROP */
};

/*
 * Key of `groups`: __u64 id. The egress IPs open to a new flow: the preferred ones first, then those that stand by for
 * the time when nobody answers for a preferred one.
 */
struct group {
	__u32 count;
	__u32 preferred;	/* of `count`; at least 1 */
	__u32 keeps_address;	/* 1: a preferred one with a successor comes before those that stand by */
	__u32 reserved;
	struct address egress_ips[MAX_GROUP_MEMBERS];
};

/*
 * Key of `egress_ips`: struct address. Who answers for it, and whose port is it.
 * `order` lists tunnel addresses of nodes: the owner first, then the successors.
 */
struct egress_ip {
	__u32 holder_count;
	__u32 reserved;
	struct address order[MAX_HOLDERS];
	__u16 block_owner[PORT_BLOCKS];	/* slot, NO_SLOT or THIS_NODE; indexed by port >> PORT_BLOCK_BITS */
};

/*
 * Key of `pools`: the port blocks of an address that this node may use for new flows. A node's own address has
 * two pools: one for masquerading, one for policies that name neither interface nor egress IP.
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

/* Key of `nodes`: struct address, the node's tunnel address. Packets of others are dropped. */
struct node {
	__u32 slot;		/* NO_SLOT: none given yet */
	__u32 reserved;
};

/* Key of `slots`: __u32 slot. Value: struct address, the tunnel address of the node that has it. */

/* Key of the array `self`: 0. This node. Written by the agent when something changes. */
struct self {
	struct address tunnel_address;
	struct address masquerade4;	/* mapped */
	struct address masquerade6;
	__u32 has_masquerade4;
	__u32 has_masquerade6;
	__u32 slot;			/* NO_SLOT: none given yet, then only masquerading works */
	__u32 overlay_ifindex;
	__u32 tunnel_mtu;		/* largest inner IP packet that the tunnel carries whole */
	__u32 reserved;
	__u8 overlay_mac[6];		/* this node's: a VXLAN device drops what comes with its own MAC as source */
	__u8 reserved2[2];
};

/* A flow as one side sees it. The ICMP echo identifier stands in both port fields' place: source_port. */
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
 * Key of `mappings`: struct flow_key with the pod as source, as the pod sends it. Written by the programs alone.
 * The reverse way is in `ports`: key struct flow_key with the egress IP and port as source and the far end as
 * destination; value struct flow_key, the key here. An entry of `ports` is what makes a port taken.
 */
struct mapping {
	struct bpf_spin_lock lock;	/* for `reclaimed` alone: one CPU may take an old mapping apart */
	__u32 reclaimed;
	struct address egress_ip;
	__be16 egress_port;
	__u8 state;			/* enum mapping_state, or-ed */
	__u8 masqueraded;		/* 1: the address is this node's own and there is no policy */
	__u32 fin_out_end;		/* sequence number after the pod's FIN, host byte order */
	__u32 fin_in_end;
	__u32 acknowledged;		/* what the pod last acknowledged; 0: nothing yet */
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

enum sweep_task {
	SWEEP_MAPPING = 1,	/* a key of `mappings`: remove it, and its port, if it has expired */
	SWEEP_PORT,		/* a key of `ports`: does it lead to a mapping that has this port? */
	SWEEP_ORPHAN,		/* one that a sweep ago did not: remove it if it still does not */
};

enum sweep_answer {
	SWEPT_KEPT = 1,
	SWEPT_REMOVED,		/* by this run or before */
	SWEPT_ORPHAN,
};

/* The program `sweep` takes up to SWEEP_RECORDS of them behind an Ethernet header, and writes the answers into them. */
struct sweep_record {
	struct flow_key entry;
	__u32 task;		/* enum sweep_task */
	__u32 answer;		/* enum sweep_answer */
};

/* Key of the LRU `fragments`: what only a datagram's first fragment says. */
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

/* Key of the LRU `inbound`: struct flow_key as the pod will answer. A connection that came from outside. */
struct inbound {
	__u64 last_ns;
};

/* Key of the per-CPU `counters`: program * VERDICTS + verdict. */
struct counter {
	__u64 packets;
	__u64 bytes;
};

/* Key of `policy_drops`: drops of a new flow by policy, egress IP and reason. Shared by all CPUs. */
struct policy_drop_key {
	__u64 policy;
	struct address egress_ip;
	__u32 verdict;
	__u32 reserved;
};

/* Key of the per-CPU array `drop_budgets`: 0. What a CPU has reported in its window. */
struct drop_budget {
	__u64 since_ns;
	__u64 records;
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

/*
 * One record of the ring buffer `pressure`: a pool of POOL_EGRESS runs low on free ports towards some destination. At most
 * one a pool in 10 ms.
 */
struct port_pressure {
	__u64 time_ns;
	struct address address;
	__u32 tries;		/* that this flow made in vain */
	__u32 refused;		/* flows that found no port, as in struct pressure */
};

/* Key of the LRU `pressures`: struct pool_key. Shared by all CPUs. */
struct pressure {
	__u64 said_ns;		/* when the last record was made */
	__u32 refused;		/* flows that found no port, ever; it wraps */
	__u32 reserved;
};

/*
 * Key of `heard`: struct address, a gateway's tunnel address. One that is not in the table is not judged. The agent makes
 * and removes entries, from_overlay notes what it hears. The agent rewrites a whole entry to distrust a gateway; what was
 * heard in that moment may be lost, and the next answer makes up for it.
 */
struct heard {
	__u64 last_ns;			/* its last answer; 0: none yet, or it has refused since */
	__u64 refused_ns;		/* its last refusal; 0: none yet. A refusal shows that the path works and that its agent does not */
	__u64 distrusted_until_ns;	/* it came and went too often */
};

/* Where a program sent a packet, as far as a simulation has to know. */
enum departure {
	DEPARTED_NOT = 0,	/* dropped, taken, or left to the stack */
	DEPARTED_TO_POD,	/* into the namespace of the pod that `sent_ifindex` belongs to */
	DEPARTED_INTO_TUNNEL,
	DEPARTED_BY_DEVICE,	/* out by `sent_ifindex` */
};

/*
 * Key of the array `simulated_run`: 0. A simulation writes the first half before each run of a program, and reads the second
 * half after it.
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

/* Key of the array `vitals`: 0. */
struct vitals {
	__u64 alive_until_ns;	/* this node answers probes until then, later it refuses; the agent moves it on */
	__u64 probing_until_ns;	/* this node's agent sends probes until then; past it every gateway counts as alive */
};

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Settings, which user space writes to .rodata before it loads the programs. The verifier treats them as constants, and removes
 * the code that cannot run with them.
 */
#ifndef SALLYPORT_CONFIG_H
#define SALLYPORT_CONFIG_H

#define SECONDS 1000000000ULL

/* Mapping timers. RFC 5382 REQ-5, RFC 4787 REQ-5, RFC 5508 REQ-2. */
const volatile __u64 tcp_established_ns = 7440 * SECONDS;	/* 2 h 4 min */
const volatile __u64 tcp_transitory_ns = 240 * SECONDS;
const volatile __u64 tcp_time_wait_ns = 60 * SECONDS;	/* TIME_WAIT of Linux servers; a shorter time is not safe */
const volatile __u64 udp_ns = 300 * SECONDS;
const volatile __u64 icmp_ns = 60 * SECONDS;

/*
 * A resolver asks each question from a fresh port, so the usual time would hold hundreds of ports for one busy pod. RFC
 * 4787 REQ-5 allows a shorter one for a well-known port. An answered question needs its port only for answers that were
 * sent twice. Resolvers ask again after 5 s, and give up long before 20 s.
 */
const volatile __u64 dns_answered_ns = 5 * SECONDS;
const volatile __u64 dns_unanswered_ns = 20 * SECONDS;

/*
 * How long a connection from outside is kept after its last packet in either direction, if it is not TCP. The stack keeps
 * it for 30 s (nf_conntrack_udp_timeout, nf_conntrack_icmp_timeout). A longer time here would leave a pod's packet to the
 * stack as a reply when the stack does not know the connection any more, and the packet would leave with the pod's own
 * address.
 */
const volatile __u64 inbound_udp_ns = 30 * SECONDS;
const volatile __u64 inbound_icmp_ns = 30 * SECONDS;

/*
 * How long a gateway may leave probes unanswered before it is unreachable.
 *
 *   a probe every 100 ms, two may be lost   300 ms
 *   scheduling delay of a busy source        50 ms
 */
const volatile __u64 gateway_silence_ns = 350000000ULL;

/*
 * Minimum interval between two records about one pool, so that a flood of connections does not become a flood of records.
 */
const volatile __u64 pressure_interval_ns = 10000000ULL;

/*
 * How many drops a CPU reports in one window. It counts all of them. The ring has one lock for all CPUs: 16,000 records a
 * second hold it for far less than a hundredth of the time, and are more than anyone reads.
 */
const volatile __u32 drop_records = 16;
const volatile __u64 drop_window_ns = 1000000ULL;

/* Open flows that a pod may have of one egress IP. 0: no limit. */
const volatile __u32 max_ports_per_pod = 0;

/* 1: the agent keeps a NAT log, and each mapping of a policy that is deleted leaves a record. */
const volatile __u32 flow_log = 0;

/* 1: chained mode. Another CNI plugin connects the pods, and traffic that no policy selects is left to it. */
const volatile __u32 chained = 0;

/*
 * 1: chained mode, and policies may use the node's own address, because the kernel has what bpf/shared-address.h calls.
 */
const volatile __u32 own_address_is_shared = 0;

/*
 * 1: stand-alone beside kube-proxy, which translates Services in the stack. The stack then carries what goes to a pod, in
 * both directions: it can translate an answer back only if it sees the answer. Not with `chained`.
 */
const volatile __u32 services_by_stack = 0;

/*
 * 1: stand-alone without kube-proxy. The programs translate Services of all kinds. Not with the two before.
 */
const volatile __u32 replaces_kube_proxy = 0;

/*
 * 1: this node hands translated packets that leave here to the stack, so that its rules apply (nftables, IPsec, ip rule).
 * 0: it sends them out by the kernel's routes, and these rules do not apply.
 */
const volatile __u32 forward_by_stack = 0;

/*
 * 1: translated packets go without a tunnel between nodes that share a link. Not with `forward_by_stack`: the stack would see
 * a packet of another node's pod come by a native device.
 */
const volatile __u32 link_path = 0;

/* UDP port of the tunnel, host byte order. */
const volatile __u32 tunnel_port = 8472;

/*
 * 1: the program tells what would become of a packet (sallyport explain). The agent loads it once more for that, with maps of its own
 * for all that it writes, and runs it by BPF_PROG_TEST_RUN. So only what is no map of ours is guarded by this.
 */
const volatile __u32 dry_run = 0;

/*
 * A simulation runs whole clusters in one process: each node has programs and maps of its own, loaded from the same object
 * file, and packets travel from program to program by BPF_PROG_TEST_RUN. There are no devices and no routes. Before each
 * run the simulation writes what the machine would have answered into the map `simulated_run`. After the run it finds there
 * the verdict and where the packet was sent. The packet itself comes out of the test run, without its tunnel header.
 *
 * Each knob is off in production, where the verifier removes what it guards.
 */
const volatile __u32 simulated_clock = 0;	/* the time is that of the run */
const volatile __u32 simulated_tunnel = 0;	/* from_overlay takes the tunnel's key from the run, which a test run cannot carry */
const volatile __u32 simulated_host = 0;	/* so are devices, sockets and random numbers; `simulated_routes` has the routes */

#endif

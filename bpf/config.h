/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Knobs, set in .rodata before load: the verifier sees constants and removes what they rule out.
 */
#ifndef SALLYPORT_CONFIG_H
#define SALLYPORT_CONFIG_H

#define SECONDS 1000000000ULL

/* Mapping timers. RFC 5382 REQ-5, RFC 4787 REQ-5, RFC 5508 REQ-2. */
const volatile __u64 tcp_established_ns = 7440 * SECONDS;	/* 2 h 4 min */
const volatile __u64 tcp_transitory_ns = 240 * SECONDS;
const volatile __u64 tcp_time_wait_ns = 60 * SECONDS;	/* what Linux servers keep; no other value is safe */
const volatile __u64 udp_ns = 300 * SECONDS;
const volatile __u64 icmp_ns = 60 * SECONDS;

/*
 * How long a connection from outside is known after its last packet, either way, where that is no TCP. Not longer than the stack
 * knows it (nf_conntrack_udp_timeout and nf_conntrack_icmp_timeout are 30 s): a pod's packet that is left to the stack as an answer
 * and is none to it leaves with the pod's own address.
 */
const volatile __u64 inbound_udp_ns = 30 * SECONDS;
const volatile __u64 inbound_icmp_ns = 30 * SECONDS;

/*
 * How long a gateway may stay silent before its egress IPs are avoided.
 *
 *   a probe every 100 ms, two may be lost   300 ms
 *   scheduling delay of a busy source        50 ms
 */
const volatile __u64 gateway_silence_ns = 350000000ULL;

/* A crowded pool is spoken of at most so often: a flood of connections must not become one of records. */
const volatile __u64 pressure_interval_ns = 10000000ULL;

/*
 * A CPU reports so many drops in so long, and counts all of them. The ring has one lock for all CPUs: 16,000 records a second
 * keep each CPU from it for far less than a hundredth of its time, and are more than anybody reads.
 */
const volatile __u32 drop_records = 16;
const volatile __u64 drop_window_ns = 1000000ULL;

/* Another CNI plugin wires the pods and routes between them: what no policy claims goes on to the stack as it is. */
const volatile __u32 chained = 0;

/* UDP port of the tunnel, host byte order. */
const volatile __u32 tunnel_port = 8472;

/*
 * A simulation runs whole clusters in one process: each node has programs and maps of its own, loaded from the same object
 * file, and packets travel from program to program by BPF_PROG_TEST_RUN. There are no devices and no routes. Before each run the
 * simulation writes what the machine would have answered into the map `simulated_run`. After the run it finds there the
 * verdict and where the packet was sent. The packet itself comes out of the test run, without its tunnel header.
 *
 * Each knob is off in production, where the verifier removes what it guards.
 */
const volatile __u32 simulated_clock = 0;	/* the time is that of the run */
const volatile __u32 simulated_tunnel = 0;	/* from_overlay takes the tunnel's key from the run, which a test run cannot carry */
const volatile __u32 simulated_host = 0;	/* so are devices, sockets and random numbers; `simulated_routes` has the routes */

#endif

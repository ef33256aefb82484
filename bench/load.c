// SPDX-License-Identifier: Apache-2.0
/*
 * Load for the benchmarks, and the server that it meets. Every run is bounded in time and prints one line of JSON.
 *
 *   load serve PORT                              echoes TCP, counts UDP; "count" on PORT+1 (TCP) tells and resets
 *   load rr HOST PORT SECONDS                    one connection, one byte there and back
 *   load crr HOST PORT SECONDS CONCURRENCY       a connection for every byte; the client closes first; with a
 *                                                concurrency of 1, client and server share one CPU
 *   load udp HOST PORT SECONDS                   64-byte datagrams as fast as they go
 *   load bulk HOST PORT SECONDS out|in           one connection, one way
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SECONDS = 120, MAX_CONCURRENCY = 1024, BATCH = 64, DATAGRAM = 64, CHUNK = 1 << 17, EVENTS = 256 };

/* What a connection asks for with its first byte; anything else is echoed, and so are the last two. */
enum { ASK_SINK = 'S', ASK_SOURCE = 'Z', ASK_SHARE_CPU = 'C', ASK_ALL_CPUS = 'A' };

static char chunk[CHUNK];

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * Cubic, whatever the machine's default is: BBR paces by timers and by its own estimate, and a bulk figure would then
 * speak about the estimate. Before a connection is made (a listener's pass it on): what has begun with BBR goes on
 * pacing. Where Cubic is not built in, the default stays, for all ways alike.
 */
static void tune(int fd)
{
	static const char algorithm[] = "cubic";
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, sizeof(algorithm) - 1);
}

static struct sockaddr_in address_of(const char *host, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		fprintf(stderr, "load: %s is no IPv4 address\n", host);
		exit(2);
	}
	return address;
}

static int seconds_of(const char *text)
{
	int seconds = atoi(text);

	return seconds < 1 ? 1 : seconds > MAX_SECONDS ? MAX_SECONDS : seconds;
}

/* ---- the server ---- */

enum kind { LISTENER, CONTROL, DATAGRAMS, CONNECTION, SINK, SOURCE };

static uint64_t datagrams;
static unsigned char kinds[1 << 20];

static int listen_on(int port)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in address = address_of("0.0.0.0", port);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	tune(fd);
	if (fd < 0 || bind(fd, (void *)&address, sizeof(address)) || listen(fd, 4096))
		die("listen");
	return fd;
}

static void watch(int poll, int fd, enum kind kind, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	kinds[fd] = kind;
	if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event))
		close(fd);
}

static void accept_all(int poll, int listener, enum kind kind)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		if (kind == CONTROL) {
			char text[32];
			int length = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)datagrams);

			datagrams = 0;
			if (write(fd, text, length) < 0)
				perror("load: control");
			close(fd);
			continue;
		}
		watch(poll, fd, CONNECTION, EPOLLIN);
	}
}

static uint64_t count_datagrams(int fd)
{
	struct mmsghdr messages[BATCH] = {};
	struct iovec vectors[BATCH];
	static char buffers[BATCH][2048];
	uint64_t before = datagrams;
	int received;

	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ buffers[i], sizeof(buffers[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	while ((received = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL)) > 0)
		datagrams += received;
	return datagrams - before;
}

/*
 * While datagrams come, they are fetched every millisecond and nobody waits for them: waking a sleeper for each would cost
 * more than all of the way that is measured. When none has come for a while, the first one wakes the server again.
 */
static void rest_or_poll(int poll, int udp, bool *is_polling)
{
	static uint64_t last_ns;
	struct epoll_event event = { .events = EPOLLIN, .data.fd = udp };

	if (count_datagrams(udp))
		last_ns = now_ns();
	if (*is_polling == (now_ns() - last_ns < 100000000))
		return;
	*is_polling = !*is_polling;
	epoll_ctl(poll, *is_polling ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, udp, &event);
}

/*
 * Two processes that wait for each other take ten times longer if the scheduler puts them on two CPUs, because each byte then
 * wakes an idle CPU. Where it puts them depends on what else runs on the machine, and that differs between the ways.
 */
static void stay_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (int each = 0; each < CPU_SETSIZE; each++)
		if (cpu < 0 || each == cpu)
			CPU_SET(each, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		perror("load: sched_setaffinity");
}

/* The packets of a connection arrive on the CPU of a client in the same kernel. */
static void stay_with_client(int fd)
{
	int cpu = -1;
	socklen_t length = sizeof(cpu);

	if (getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &length) == 0)
		stay_on(cpu);
}

static void serve_connection(int poll, int fd, uint32_t events)
{
	struct epoll_event event = { .events = EPOLLOUT, .data.fd = fd };
	ssize_t length;

	if (kinds[fd] == SOURCE) {
		if ((events & (EPOLLHUP | EPOLLERR)) || (write(fd, chunk, CHUNK) < 0 && errno != EAGAIN))
			close(fd);
		return;
	}
	length = read(fd, chunk, CHUNK);
	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0) {
		close(fd);
		return;
	}
	if (kinds[fd] == SINK)
		return;
	if (chunk[0] == ASK_SHARE_CPU)
		stay_with_client(fd);
	else if (chunk[0] == ASK_ALL_CPUS)
		stay_on(-1);
	if (chunk[0] == ASK_SINK) {
		kinds[fd] = SINK;
	} else if (chunk[0] == ASK_SOURCE) {
		kinds[fd] = SOURCE;
		epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event);
	} else if (write(fd, chunk, length) < 0) {
		close(fd);
	}
}

static _Noreturn void serve(int port)
{
	int poll = epoll_create1(0), udp = socket(AF_INET, SOCK_DGRAM, 0), size = 8 << 20;
	struct sockaddr_in address = address_of("0.0.0.0", port);
	struct epoll_event events[EVENTS];
	int listener = listen_on(port), control = listen_on(port + 1);

	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(udp, (void *)&address, sizeof(address)))
		die("bind");
	watch(poll, listener, LISTENER, EPOLLIN);
	watch(poll, control, CONTROL, EPOLLIN);
	watch(poll, udp, DATAGRAMS, EPOLLIN);
	bool is_polling = false;

	printf("serving\n");
	fflush(stdout);
	for (;;) {
		int ready = epoll_wait(poll, events, EVENTS, is_polling ? 1 : -1);

		if (is_polling)
			rest_or_poll(poll, udp, &is_polling);

		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd;

			if (kinds[fd] == LISTENER || kinds[fd] == CONTROL)
				accept_all(poll, fd, kinds[fd]);
			else if (kinds[fd] == DATAGRAMS)
				rest_or_poll(poll, udp, &is_polling);
			else
				serve_connection(poll, fd, events[i].events);
		}
	}
}

/* ---- the clients ---- */

static int compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

/* Latencies in ns; a run of two minutes at 100,000 a second fits. */
static uint32_t samples[12000000];
static uint64_t sample_count;

static void note(uint64_t nanoseconds)
{
	if (sample_count < sizeof(samples) / sizeof(samples[0]))
		samples[sample_count++] = nanoseconds > UINT32_MAX ? UINT32_MAX : nanoseconds;
}

static double percentile_us(double fraction)
{
	return sample_count ? samples[(uint64_t)(fraction * (sample_count - 1))] / 1000.0 : 0;
}

static void print_rate(uint64_t done, uint64_t failed, uint64_t elapsed_ns)
{
	qsort(samples, sample_count, sizeof(samples[0]), compare);
	printf("{\"done\":%llu,\"failed\":%llu,\"perSecond\":%.1f,\"p50Us\":%.1f,\"p99Us\":%.1f}\n",
	       (unsigned long long)done, (unsigned long long)failed, done * 1e9 / elapsed_ns, percentile_us(0.5),
	       percentile_us(0.99));
}

static int connect_blocking(struct sockaddr_in *server)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	tune(fd);
	if (connect(fd, (void *)server, sizeof(*server)))
		die("connect");
	return fd;
}

static int request_response(struct sockaddr_in server, int seconds)
{
	int fd = connect_blocking(&server);
	uint64_t start = now_ns(), end = start + seconds * 1000000000ull, before = start, done = 0;
	char byte = 'x';

	while (before < end) {
		uint64_t after;

		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die("request");
		after = now_ns();
		note(after - before);
		before = after;
		done++;
	}
	print_rate(done, 0, before - start);
	return 0;
}

static void ask_for_cpus(struct sockaddr_in *server, char ask)
{
	int fd = connect_blocking(server);

	if (write(fd, &ask, 1) != 1 || read(fd, &ask, 1) != 1)
		die("request");
	close(fd);
}

struct attempt {
	int fd;
	uint64_t started;
};

static void start_attempt(int poll, struct sockaddr_in *server, struct attempt *attempt, int index)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = index };

	attempt->started = now_ns();
	attempt->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (attempt->fd < 0)
		die("socket");
	if (connect(attempt->fd, (void *)server, sizeof(*server)) && errno != EINPROGRESS)
		die("connect");
	epoll_ctl(poll, EPOLL_CTL_ADD, attempt->fd, &event);
}

/* A connection fails when it is refused, or has no answer within five seconds (a SYN is retried after one and three). */
static int connect_request_response(struct sockaddr_in server, int seconds, int concurrency)
{
	static struct attempt attempts[MAX_CONCURRENCY];
	int poll = epoll_create1(0);
	uint64_t start, end, done = 0, failed = 0;
	struct epoll_event events[EVENTS];
	char byte = 'x';

	if (concurrency == 1)
		stay_on(sched_getcpu());
	ask_for_cpus(&server, concurrency == 1 ? ASK_SHARE_CPU : ASK_ALL_CPUS);
	start = now_ns();
	end = start + seconds * 1000000000ull;
	for (int i = 0; i < concurrency; i++)
		start_attempt(poll, &server, &attempts[i], i);
	while (now_ns() < end) {
		int ready = epoll_wait(poll, events, EVENTS, 100);

		for (int i = 0; i < ready; i++) {
			struct attempt *attempt = &attempts[events[i].data.u32];
			int finished = 0, broken = (events[i].events & EPOLLERR) != 0;

			if (!broken && (events[i].events & EPOLLIN))
				finished = read(attempt->fd, &byte, 1) == 1;
			else if (!broken && (events[i].events & EPOLLOUT))
				broken = write(attempt->fd, &byte, 1) != 1;
			if (!finished && !broken)
				continue;
			if (finished) {
				note(now_ns() - attempt->started);
				done++;
			} else {
				failed++;
			}
			close(attempt->fd);
			start_attempt(poll, &server, attempt, events[i].data.u32);
		}
		for (int i = 0; i < concurrency; i++) {
			if (now_ns() - attempts[i].started < 5000000000ull)
				continue;
			failed++;
			close(attempts[i].fd);
			start_attempt(poll, &server, &attempts[i], i);
		}
	}
	print_rate(done, failed, now_ns() - start);
	ask_for_cpus(&server, ASK_ALL_CPUS);
	return 0;
}

static int send_datagrams(struct sockaddr_in server, int seconds)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	static char payload[DATAGRAM];
	struct iovec vector = { payload, sizeof(payload) };
	struct mmsghdr messages[BATCH] = {};
	uint64_t start = now_ns(), end = start + seconds * 1000000000ull, sent = 0, failed = 0;

	if (connect(fd, (void *)&server, sizeof(server)))
		die("connect");
	for (int i = 0; i < BATCH; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vector, .msg_iovlen = 1 };
	while (now_ns() < end) {
		int count = sendmmsg(fd, messages, BATCH, 0);

		if (count > 0)
			sent += count;
		else
			failed++;
	}
	print_rate(sent, failed, now_ns() - start);
	return 0;
}

static int bulk(struct sockaddr_in server, int seconds, int is_out)
{
	int fd = connect_blocking(&server);
	uint64_t start = now_ns(), end = start + seconds * 1000000000ull, bytes = 0;
	char ask = is_out ? ASK_SINK : ASK_SOURCE;

	if (write(fd, &ask, 1) != 1)
		die("write");
	/* The server tells the first byte from the rest by its own read. */
	usleep(20000);
	start = now_ns();
	while (now_ns() < end) {
		ssize_t length = is_out ? write(fd, chunk, CHUNK) : read(fd, chunk, CHUNK);

		if (length <= 0)
			die("bulk");
		bytes += length;
	}
	printf("{\"bytes\":%llu,\"gbitPerSecond\":%.3f}\n", (unsigned long long)bytes,
	       bytes * 8.0 / (now_ns() - start));
	return 0;
}

int main(int count, char **words)
{
	signal(SIGPIPE, SIG_IGN);
	if (count == 3 && !strcmp(words[1], "serve"))
		serve(atoi(words[2]));
	if (count >= 5) {
		struct sockaddr_in server = address_of(words[2], atoi(words[3]));
		int seconds = seconds_of(words[4]);

		if (!strcmp(words[1], "rr"))
			return request_response(server, seconds);
		if (!strcmp(words[1], "crr") && count == 6) {
			int concurrency = atoi(words[5]);

			if (concurrency >= 1 && concurrency <= MAX_CONCURRENCY)
				return connect_request_response(server, seconds, concurrency);
		}
		if (!strcmp(words[1], "udp"))
			return send_datagrams(server, seconds);
		if (!strcmp(words[1], "bulk") && count == 6)
			return bulk(server, seconds, !strcmp(words[5], "out"));
	}
	fprintf(stderr, "usage: load serve PORT | rr|udp HOST PORT SECONDS | crr HOST PORT SECONDS CONCURRENCY | bulk HOST PORT SECONDS out|in\n");
	return 2;
}

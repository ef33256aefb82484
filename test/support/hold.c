// SPDX-License-Identifier: Apache-2.0
/*
 * Many live connections, some of them busy, and new ones all the time: what they notice when something dies.
 *
 *   hold serve PORT PORTS [DEVICE]
 *       echoes TCP on PORTS ports from PORT on. Whoever connects to PORT-1 is told as JSON which addresses were seen, and
 *       how many packets came by which MAC of the DEVICE's link in each 10 ms since PORT-2 was last connected to.
 *   hold run HOST PORT PORTS CONNECTIONS SENDERS SECONDS
 *       opens CONNECTIONS, prints "ready", and for SECONDS sends a byte every 10 ms on SENDERS of them and opens a new
 *       connection every 5 ms; then asks every connection whether it is still there. Prints one line of JSON.
 *
 * Times are CLOCK_MONOTONIC, which all network namespaces of a machine share.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_FDS = 1 << 16,
	MAX_PORTS = 1024,
	MAX_SOURCES = 64,
	MAX_MACS = 8,
	BUCKETS = 6000,			/* a minute of 10 ms */
	BUCKET_MS = 10,
	EVENTS = 512,
	SEND_EVERY_MS = 10,
	OPEN_EVERY_MS = 5,
	OPENING_AT_ONCE = 200,
	OPEN_TRIES = 8,
	OPEN_TIMEOUT_MS = 2500,
	NEW_TIMEOUT_MS = 5000,		/* a new connection that takes longer has failed */
	DISTURBED_MS = 100,		/* and one that takes longer than this was disturbed */
	VERIFY_MS = 20000,
	MAX_NEW = 1 << 16,
};

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000ull + time.tv_nsec / 1000000;
}

static void die(const char *what)
{
	fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int number_of(const char *text, int most)
{
	int number = atoi(text);

	if (number < 1 || number > most) {
		fprintf(stderr, "hold: %s is not between 1 and %d\n", text, most);
		exit(2);
	}
	return number;
}

/* ---- the server ---- */

enum kind { CONNECTION, LISTENER, TELL, RESET, CAPTURE };
static unsigned char kinds[MAX_FDS];

static struct { uint32_t address; unsigned count; } sources[MAX_SOURCES];
static struct { unsigned char mac[6]; unsigned buckets[BUCKETS]; } macs[MAX_MACS];
static int mac_count;
static uint64_t capture_from;

static void watch(int poll, int fd, enum kind kind)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (fd >= MAX_FDS || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) {
		close(fd);
		return;
	}
	kinds[fd] = kind;
}

static void listen_on(int poll, int port, enum kind kind)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fd < 0 || bind(fd, (void *)&address, sizeof(address)) || listen(fd, 4096))
		die("listen");
	watch(poll, fd, kind);
}

static void note_source(uint32_t address)
{
	for (int i = 0; i < MAX_SOURCES; i++) {
		if (sources[i].count && sources[i].address != address)
			continue;
		sources[i].address = address;
		sources[i].count++;
		return;
	}
}

static void note_packet(const unsigned char *mac)
{
	uint64_t bucket = (now_ms() - capture_from) / BUCKET_MS;
	int i;

	for (i = 0; i < mac_count && memcmp(macs[i].mac, mac, 6); i++)
		;
	if (i == MAX_MACS || bucket >= BUCKETS)
		return;
	if (i == mac_count)
		memcpy(macs[mac_count++].mac, mac, 6);
	macs[i].buckets[bucket]++;
}

/* Packets that came in for the connections: the MAC says which gateway they came by. */
static void read_capture(int fd, int port, int ports)
{
	unsigned char frame[128];
	struct sockaddr_ll from;
	socklen_t length = sizeof(from);

	while (recvfrom(fd, frame, sizeof(frame), MSG_TRUNC, (void *)&from, &length) > 0) {
		struct iphdr *ip = (void *)(frame + ETH_HLEN);
		struct tcphdr *tcp = (void *)(frame + ETH_HLEN + ip->ihl * 4);

		length = sizeof(from);
		if (from.sll_pkttype != PACKET_HOST || ip->protocol != IPPROTO_TCP || ip->ihl > 15)
			continue;
		if (ntohs(tcp->dest) >= port && ntohs(tcp->dest) < port + ports)
			note_packet(frame + ETH_ALEN);
	}
}

static void tell(int fd)
{
	FILE *out = fdopen(fd, "w");
	int last = 0;

	if (!out) {
		close(fd);
		return;
	}
	fprintf(out, "{\"from\":%llu,\"sources\":{", (unsigned long long)capture_from);
	for (int i = 0; i < MAX_SOURCES && sources[i].count; i++) {
		struct in_addr address = { sources[i].address };

		fprintf(out, "%s\"%s\":%u", i ? "," : "", inet_ntoa(address), sources[i].count);
	}
	fprintf(out, "},\"macs\":{");
	for (int i = 0; i < mac_count; i++)
		for (int b = 0; b < BUCKETS; b++)
			if (macs[i].buckets[b] && b > last)
				last = b;
	for (int i = 0; i < mac_count; i++) {
		unsigned char *m = macs[i].mac;

		fprintf(out, "%s\"%02x:%02x:%02x:%02x:%02x:%02x\":[", i ? "," : "", m[0], m[1], m[2], m[3], m[4], m[5]);
		for (int b = 0; b <= last; b++)
			fprintf(out, "%s%u", b ? "," : "", macs[i].buckets[b]);
		fprintf(out, "]");
	}
	fprintf(out, "}}\n");
	fclose(out);
}

static void accept_all(int poll, int listener)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	int fd;

	while ((fd = accept4(listener, (void *)&from, &length, SOCK_NONBLOCK)) >= 0) {
		length = sizeof(from);
		if (kinds[listener] == TELL) {
			tell(fd);
		} else if (kinds[listener] == RESET) {
			memset(sources, 0, sizeof(sources));
			memset(macs, 0, sizeof(macs));
			mac_count = 0;
			capture_from = now_ms();
			close(fd);
		} else {
			note_source(from.sin_addr.s_addr);
			watch(poll, fd, CONNECTION);
		}
	}
}

static void echo(int fd)
{
	char bytes[4096];
	ssize_t length = read(fd, bytes, sizeof(bytes));

	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0 || write(fd, bytes, length) != length)
		close(fd);
}

static _Noreturn void serve(int port, int ports, const char *device)
{
	int poll = epoll_create1(0), size = 64 << 20;
	struct epoll_event events[EVENTS];

	capture_from = now_ms();
	for (int i = 0; i < ports; i++)
		listen_on(poll, port + i, LISTENER);
	listen_on(poll, port - 1, TELL);
	listen_on(poll, port - 2, RESET);
	if (device) {
		struct sockaddr_ll link = {
			.sll_family = AF_PACKET,
			.sll_protocol = htons(ETH_P_IP),
			.sll_ifindex = if_nametoindex(device),
		};
		int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_IP));

		if (fd < 0 || bind(fd, (void *)&link, sizeof(link)))
			die("capture");
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		watch(poll, fd, CAPTURE);
	}
	printf("serving\n");
	fflush(stdout);
	for (;;) {
		int ready = epoll_wait(poll, events, EVENTS, -1);

		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd;

			if (kinds[fd] == CONNECTION)
				echo(fd);
			else if (kinds[fd] == CAPTURE)
				read_capture(fd, port, ports);
			else
				accept_all(poll, fd);
		}
	}
}

/* ---- the client ---- */

enum state { FREE, OPENING, HELD, BROKEN, NEW };

static struct slot {
	unsigned char state, tries;
	bool is_answered;
	int sender;			/* index, or -1 */
	uint64_t since;
} slots[MAX_FDS];

static struct { int fd; uint64_t next, last_answer; unsigned stall; } senders[1000];
static struct { unsigned at, took; bool failed; } news[MAX_NEW];
static int news_count;
static struct sockaddr_in server;
static int base_port, port_count, next_port, poll_fd;

static int open_one(enum state state, unsigned tries)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || fd >= MAX_FDS)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	server.sin_port = htons(base_port + next_port++ % port_count);
	if (connect(fd, (void *)&server, sizeof(server)) && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	slots[fd] = (struct slot){ .state = state, .tries = tries, .sender = -1, .since = now_ms() };
	event.data.fd = fd;
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
	return fd;
}

static uint64_t started;
static int held, opening, broken, answered, never_opened;

static void end_new(int fd, bool failed)
{
	if (news_count < MAX_NEW) {
		news[news_count].at = slots[fd].since - started;
		news[news_count].took = now_ms() - slots[fd].since;
		news[news_count++].failed = failed;
	}
	slots[fd].state = FREE;
	close(fd);
}

static void lose(int fd)
{
	struct slot slot = slots[fd];

	if (slot.state == NEW) {
		end_new(fd, true);
		return;
	}
	if (slot.state != OPENING && slot.state != HELD)
		return;
	close(fd);
	if (slot.state == HELD) {
		slots[fd].state = BROKEN;
		broken++;
		held--;
		return;
	}
	slots[fd].state = FREE;
	if (slot.tries < OPEN_TRIES && open_one(OPENING, slot.tries + 1) >= 0)
		return;
	opening--;
	never_opened++;
}

static void answer(int fd)
{
	struct slot *slot = &slots[fd];

	if (slot->state == NEW) {
		end_new(fd, false);
		return;
	}
	if (slot->state == OPENING) {
		slot->state = HELD;
		opening--;
		held++;
		return;
	}
	if (!slot->is_answered) {
		slot->is_answered = true;
		answered++;
	}
	if (slot->sender >= 0) {
		uint64_t now = now_ms(), gap = now - senders[slot->sender].last_answer;

		if (gap > senders[slot->sender].stall)
			senders[slot->sender].stall = gap;
		senders[slot->sender].last_answer = now;
	}
}

static void handle(int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int ready = epoll_wait(poll_fd, events, EVENTS, timeout_ms);

	for (int i = 0; i < ready; i++) {
		int fd = events[i].data.fd;
		struct slot *slot = &slots[fd];
		char bytes[256];
		ssize_t length;

		if (slot->state == FREE || slot->state == BROKEN)
			continue;
		if (events[i].events & (EPOLLERR | EPOLLHUP)) {
			lose(fd);
			continue;
		}
		if ((events[i].events & EPOLLOUT) && !slot->is_answered && slot->state != HELD) {
			slot->is_answered = true;	/* the first byte is sent; it counts anew from here */
			if (write(fd, "h", 1) != 1) {
				lose(fd);
				continue;
			}
		}
		if (!(events[i].events & EPOLLIN))
			continue;
		length = read(fd, bytes, sizeof(bytes));
		if (length == 0 || (length < 0 && errno != EAGAIN))
			lose(fd);
		else if (length > 0)
			answer(fd);
	}
}

static void end_overdue(enum state state, unsigned timeout_ms)
{
	uint64_t now = now_ms();

	for (int fd = 0; fd < MAX_FDS; fd++)
		if (slots[fd].state == state && now - slots[fd].since > timeout_ms)
			lose(fd);
}

static void open_all(int connections)
{
	uint64_t checked = now_ms();

	while (held + never_opened < connections) {
		while (opening < OPENING_AT_ONCE && held + opening + never_opened < connections) {
			if (open_one(OPENING, 0) < 0)
				die("connect");
			opening++;
		}
		handle(10);
		if (now_ms() - checked > 500) {
			checked = now_ms();
			end_overdue(OPENING, OPEN_TIMEOUT_MS);
		}
	}
}

static void choose_senders(int count)
{
	int chosen = 0;

	for (int fd = 0; fd < MAX_FDS && chosen < count; fd++) {
		slots[fd].is_answered = false;
		if (slots[fd].state != HELD)
			continue;
		slots[fd].sender = chosen;
		senders[chosen].fd = fd;
		senders[chosen].last_answer = started;
		senders[chosen].next = started + chosen % SEND_EVERY_MS;
		chosen++;
	}
}

static void run_for(int seconds, int count)
{
	uint64_t end = started + seconds * 1000ull, next_new = started, checked = started, now;

	while ((now = now_ms()) < end) {
		for (int i = 0; i < count; i++) {
			if (now < senders[i].next || slots[senders[i].fd].state != HELD)
				continue;
			senders[i].next = now + SEND_EVERY_MS;
			if (write(senders[i].fd, "s", 1) < 0 && errno != EAGAIN)
				lose(senders[i].fd);
		}
		for (; next_new <= now; next_new += OPEN_EVERY_MS)
			open_one(NEW, 0);
		handle(1);
		if (now - checked > 500) {
			checked = now;
			end_overdue(NEW, NEW_TIMEOUT_MS);
		}
	}
	for (int i = 0; i < count; i++)
		if (senders[i].last_answer + senders[i].stall < end)
			senders[i].stall = end - senders[i].last_answer;
}

/* A connection that nobody has told of its end is not alive for that: each must answer. */
static void verify(void)
{
	uint64_t end = now_ms() + VERIFY_MS;
	int asked = 0;

	answered = 0;
	for (int fd = 0; fd < MAX_FDS; fd++) {
		if (slots[fd].state != HELD)
			continue;
		slots[fd].is_answered = false;
		slots[fd].sender = -1;
		/* What does not fit is behind bytes that have no answer yet: theirs will do. */
		if (write(fd, "v", 1) != 1 && errno != EAGAIN)
			lose(fd);
		else
			asked++;
		if (asked % 500 == 0)
			handle(1);
	}
	while (answered < held && now_ms() < end)
		handle(10);
	broken += held - answered;
	end = now_ms() + NEW_TIMEOUT_MS;
	for (bool is_open = true; is_open && now_ms() < end;) {
		is_open = false;
		for (int fd = 0; fd < MAX_FDS; fd++)
			is_open |= slots[fd].state == NEW;
		handle(10);
	}
	end_overdue(NEW, 0);
}

static int compare(const void *a, const void *b)
{
	return *(const unsigned *)a < *(const unsigned *)b ? -1 : *(const unsigned *)a > *(const unsigned *)b;
}

static void print_result(int connections, int count)
{
	unsigned stalls[1000] = {}, first = 0, last = 0, disturbed = 0, failed = 0;

	for (int i = 0; i < count; i++)
		stalls[i] = senders[i].stall;
	qsort(stalls, count, sizeof(stalls[0]), compare);
	for (int i = 0; i < news_count; i++) {
		failed += news[i].failed;
		if (!news[i].failed && news[i].took <= DISTURBED_MS)
			continue;
		if (!disturbed || news[i].at < first)
			first = news[i].at;
		if (!disturbed++ || news[i].at > last)
			last = news[i].at;
	}
	printf("{\"connections\":%d,\"notOpened\":%d,\"broken\":%d,\"started\":%llu,"
	       "\"stallMs\":{\"p50\":%u,\"p99\":%u,\"max\":%u},"
	       "\"newFlows\":%d,\"newFlowsDisturbed\":%u,\"newFlowsDisturbedMs\":%u,\"newFlowsFailed\":%u}\n",
	       connections, never_opened, broken, (unsigned long long)started, stalls[count / 2],
	       stalls[(count * 99 - 1) / 100], stalls[count - 1], news_count, disturbed,
	       disturbed ? last - first + OPEN_EVERY_MS : 0, failed);
}

int main(int count, char **words)
{
	struct rlimit files = { MAX_FDS, MAX_FDS };

	signal(SIGPIPE, SIG_IGN);
	if (setrlimit(RLIMIT_NOFILE, &files)) {
		getrlimit(RLIMIT_NOFILE, &files);
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (count >= 4 && !strcmp(words[1], "serve"))
		serve(number_of(words[2], 65535), number_of(words[3], MAX_PORTS), words[4]);
	if (count == 8 && !strcmp(words[1], "run")) {
		int connections = number_of(words[5], 50000), busy = number_of(words[6], 1000);

		server.sin_family = AF_INET;
		if (inet_pton(AF_INET, words[2], &server.sin_addr) != 1)
			die(words[2]);
		base_port = number_of(words[3], 65535);
		port_count = number_of(words[4], MAX_PORTS);
		poll_fd = epoll_create1(0);
		open_all(connections);
		started = now_ms();
		choose_senders(busy);
		printf("ready %llu\n", (unsigned long long)started);
		fflush(stdout);
		run_for(number_of(words[7], 120), busy);
		verify();
		print_result(connections, busy);
		return 0;
	}
	fprintf(stderr, "usage: hold serve PORT PORTS [DEVICE] | hold run HOST PORT PORTS CONNECTIONS SENDERS SECONDS\n");
	return 2;
}

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Both ends of a measured conversation, each in its network namespace and on its CPU:
 *
 *   traffic MODE SIZE SECONDS CLIENT_NETNS SERVER_NETNS SERVER_ADDRESS CLIENT_CPU SERVER_CPU
 *           [CGROUP]
 *
 * MODE is rr (request and response of SIZE bytes over one connection), crr (connect, request,
 * response, close), stream (one way, writes of SIZE bytes), awake (the same to a receiver that
 * never sleeps: what it costs to wake it is left out) or udp (rr with datagrams). A namespace is
 * a path; `-` stays here. Prints {"operations", "bytes", "seconds", "cpu"}: cpu is the time of
 * both processes in seconds. CGROUP (v2) is joined first.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT 7411

static char buffer[1 << 20];
static size_t size;
static int streams; /* one way, in bulk */

static void go(const char *netns, int cpu)
{
	cpu_set_t set;
	int fd;

	if (strcmp(netns, "-")) {
		fd = open(netns, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, CLONE_NEWNET))
			err(1, "%s", netns);
		close(fd);
	}
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "cpu %d", cpu);
}

static void read_all(int fd)
{
	for (size_t got = 0; got < size;) {
		ssize_t n = recv(fd, buffer + got, size - got, 0);

		if (n <= 0)
			err(1, "recv");
		got += n;
	}
}

/* Returns 0 at the end of the connection. */
static int serve_one(int fd)
{
	for (size_t got = 0; got < size;) {
		ssize_t n = recv(fd, buffer + got, size - got, 0);

		if (n <= 0)
			return 0;
		got += n;
	}
	return send(fd, buffer, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static int open_socket(int type, const struct sockaddr *address)
{
	int one = 1, fd = socket(address->sa_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_STREAM) {
		if (!streams)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		/* another one may wait by timers, which is what would be measured */
		if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5))
			err(1, "congestion control cubic");
	}
	return fd;
}

static void serve(const char *mode, const struct sockaddr *address, socklen_t length, int ready)
{
	int udp = !strcmp(mode, "udp");
	int fd = open_socket(udp ? SOCK_DGRAM : SOCK_STREAM, address);

	if (bind(fd, address, length) || (!udp && listen(fd, 1024)))
		err(1, "listen");
	if (write(ready, "", 1) != 1)
		err(1, "ready");
	if (udp) {
		struct sockaddr_storage peer;

		for (;;) {
			socklen_t n = sizeof(peer);
			ssize_t got =
			    recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&peer, &n);

			if (got >= 0)
				sendto(fd, buffer, got, 0, (struct sockaddr *)&peer, n);
		}
	}
	for (;;) {
		ssize_t got;
		int one = 1, c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (c < 0)
			err(1, "accept");
		setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (!strcmp(mode, "stream"))
			while (recv(c, buffer, sizeof(buffer), 0) > 0)
				;
		else if (!strcmp(mode, "awake"))
			do
				got = recv(c, buffer, sizeof(buffer), MSG_DONTWAIT);
			while (got > 0 || (got < 0 && errno == EAGAIN));
		else if (!strcmp(mode, "crr"))
			serve_one(c); /* who closes first keeps the port: not the client */
		else
			while (serve_one(c))
				;
		close(c);
	}
}

static double seconds_of(struct timeval t)
{
	return t.tv_sec + t.tv_usec / 1e6;
}

static double cpu_of(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return seconds_of(u.ru_utime) + seconds_of(u.ru_stime);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage address = {};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	const struct sockaddr *to = (struct sockaddr *)&address;
	unsigned long operations = 0, bytes = 0;
	double limit, begin, end;
	socklen_t length;
	int ready[2], fd = -1, udp;
	char byte;
	pid_t child;

	if (argc < 9)
		errx(2, "usage: traffic MODE SIZE SECONDS CLIENT_NETNS SERVER_NETNS ADDRESS CPU "
			"CPU [CGROUP]");
	size = strtoul(argv[2], NULL, 10);
	limit = strtod(argv[3], NULL);
	if (size == 0 || size > sizeof(buffer))
		errx(2, "SIZE is 1 to %zu", sizeof(buffer));
	udp = !strcmp(argv[1], "udp");
	streams = !strcmp(argv[1], "stream") || !strcmp(argv[1], "awake");
	if (argc > 9) {
		char path[4096];
		int procs;

		snprintf(path, sizeof(path), "%s/cgroup.procs", argv[9]);
		procs = open(path, O_WRONLY | O_CLOEXEC);
		if (procs < 0 || write(procs, "0", 1) != 1)
			err(1, "%s", path);
		close(procs);
	}
	if (inet_pton(AF_INET, argv[6], &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(PORT);
		length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, argv[6], &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(PORT);
		length = sizeof(*v6);
	} else {
		errx(2, "no address: %s", argv[6]);
	}
	if (pipe2(ready, O_CLOEXEC))
		err(1, "pipe");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child) {
		go(argv[5], atoi(argv[8]));
		serve(argv[1], to, length, ready[1]);
	}
	go(argv[4], atoi(argv[7]));
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		errx(1, "the server is not there");

	if (strcmp(argv[1], "crr")) {
		struct timeval wait = {.tv_sec = 5};

		fd = open_socket(udp ? SOCK_DGRAM : SOCK_STREAM, to);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		if (connect(fd, to, length))
			err(1, "connect");
	}
	begin = now();
	end = begin + limit;
	do {
		if (!strcmp(argv[1], "crr")) {
			fd = open_socket(SOCK_STREAM, to);
			if (connect(fd, to, length))
				err(1, "connect");
		}
		if (send(fd, buffer, size, MSG_NOSIGNAL) != (ssize_t)size)
			err(1, "send");
		if (!streams)
			read_all(fd);
		bytes += size;
		operations++;
		if (!strcmp(argv[1], "crr")) {
			if (recv(fd, &byte, 1, 0) != 0)
				errx(1, "more than an answer");
			close(fd);
		}
	} while (now() < end);
	end = now();
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	printf("{\"operations\":%lu,\"bytes\":%lu,\"seconds\":%.6f,\"cpu\":%.6f}\n", operations,
	       bytes, end - begin, cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN));
	return 0;
}

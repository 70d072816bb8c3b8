// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Sends frames from network namespaces and reports where their markers are seen:
 *
 *   prober [send NETNS | watch NETNS | stack NETNS | quiet WATCH:IFINDEX:DIRECTIONS:SENDERS]...
 *
 * `send` opens eth0 of a sender, `watch` captures everything on all devices of a namespace, `stack`
 * what its IP stack takes as its own (raw sockets). Senders and places are numbered in the order of
 * the arguments. A sighting at a `quiet` place is counted only: WATCH and IFINDEX, a mask of
 * directions (1 in, 2 out) and a mask of senders.
 *
 * stdin has batches: u32 count, then per frame u8 sender, u16 length, bytes. After each batch
 * stdout gets its sightings, struct sighting and the first bytes of the packet, and an end: one
 * with place 255, whose id counts lost captures and whose ifindex counts quiet sightings since the
 * last one. A batch of no frames waits until everything has been quiet for a while. Integers are of
 * the host's order; the marker is MAGIC and a u32 id in network order, with the sender in the upper
 * 4 bits.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC	      "pil\xf5silent"
#define MAGIC_LENGTH  10
#define MAX_SENDERS   8
#define MAX_PLACES    32
#define MAX_QUIET     128
#define MAX_SOCKETS   512
#define BURST	      32
#define FRAME_MAX     2048
#define SNAP	      256
#define RECEIVE_BYTES (64 << 20)
#define SETTLES	      200
#define SETTLE_US     10000

struct sighting {
	uint32_t id;
	uint32_t ifindex; /* 0: the stack */
	uint16_t length;  /* bytes that follow */
	uint8_t place;
	uint8_t type; /* PACKET_* */
};

struct receiver {
	int fd;
	uint8_t place;
	uint8_t protocol; /* of raw sockets for IPv6, which get no header; else 0 */
};

struct quiet {
	uint8_t place;
	uint8_t directions;
	uint32_t ifindex;
	uint32_t senders;
};

static int senders[MAX_SENDERS], sender_count;
static struct receiver receivers[MAX_SOCKETS];
static int receiver_count, place_count, quiet_count, poll_fd;
static struct quiet quiets[MAX_QUIET];
static uint32_t quiet_sightings, lost;
static char buffers[BURST][FRAME_MAX];

static const uint8_t PROTOCOLS[] = {0,	1,  2,	4,  6,	17, 41,	 43,  44,  47,
				    50, 51, 58, 59, 60, 89, 103, 132, 135, 253};

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(1, "%s", netns);
	close(fd);
}

static int packet_socket(const char *device)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		err(1, "packet socket");
	if (device)
		at.sll_ifindex = if_nametoindex(device);
	else
		at.sll_protocol = htons(ETH_P_ALL);
	if (bind(fd, (void *)&at, sizeof(at)))
		err(1, "bind to %s", device ? device : "all devices");
	return fd;
}

static void receive_from(int fd, uint8_t protocol)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = receiver_count};
	int bytes = RECEIVE_BYTES;

	if (receiver_count == MAX_SOCKETS || place_count == MAX_PLACES)
		errx(1, "too many places");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event))
		err(1, "receiver");
	receivers[receiver_count++] =
	    (struct receiver){.fd = fd, .place = place_count, .protocol = protocol};
}

static void watch_stack(void)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t f = 0; f < 2; f++) {
		for (size_t i = 0; i < sizeof(PROTOCOLS); i++) {
			int fd = socket(families[f], SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
					PROTOCOLS[i]);

			/* extension headers and IP itself are no protocols of raw sockets */
			if (fd < 0 && (errno == EPROTONOSUPPORT || errno == EINVAL))
				continue;
			if (fd < 0)
				err(1, "raw socket %d", PROTOCOLS[i]);
			receive_from(fd, families[f] == AF_INET6 ? PROTOCOLS[i] : 0);
		}
	}
}

static void put(const void *data, size_t length)
{
	if (fwrite(data, 1, length, stdout) != length)
		err(1, "stdout");
}

static void report(const struct sighting *s, const void *packet)
{
	uint32_t sender = 1U << (s->id >> 28), direction = s->type == PACKET_OUTGOING ? 2 : 1;

	for (int i = 0; i < quiet_count; i++) {
		const struct quiet *q = &quiets[i];

		if (q->place == s->place && q->ifindex == s->ifindex && q->senders & sender &&
		    q->directions & direction) {
			quiet_sightings++;
			return;
		}
	}
	put(s, sizeof(*s));
	put(packet, s->length);
}

/* Reports each marker in the packet once. */
static void search(struct sighting *s, const char *packet, size_t length)
{
	const char *at = packet, *end = packet + length;
	uint32_t last = UINT32_MAX;

	s->length = length < SNAP ? length : SNAP;
	while ((at = memmem(at, end - at, MAGIC, MAGIC_LENGTH)) && end - at >= MAGIC_LENGTH + 4) {
		memcpy(&s->id, at + MAGIC_LENGTH, 4);
		s->id = ntohl(s->id);
		if (s->id != last)
			report(s, packet);
		last = s->id;
		at += MAGIC_LENGTH + 4;
	}
}

/* A raw socket for IPv6 gets no header: one with the source and the protocol is put before. */
static void search_ipv6(struct sighting *s, uint8_t protocol, const struct sockaddr_in6 *from,
			const char *data, size_t length)
{
	static char packet[FRAME_MAX + 40];

	memset(packet, 0, 40);
	packet[0] = 0x60;
	packet[6] = protocol;
	memcpy(packet + 8, &from->sin6_addr, 16);
	memcpy(packet + 40, data, length);
	search(s, packet, length + 40);
}

static bool receive(const struct receiver *r)
{
	static struct sockaddr_storage from[BURST];
	static struct mmsghdr messages[BURST];
	static struct iovec vectors[BURST];
	int count;

	for (int i = 0; i < BURST; i++) {
		vectors[i] = (struct iovec){buffers[i], FRAME_MAX};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
						      .msg_namelen = sizeof(from[i]),
						      .msg_iov = &vectors[i],
						      .msg_iovlen = 1};
	}
	count = recvmmsg(r->fd, messages, BURST, MSG_DONTWAIT, NULL);
	if (count < 0 && errno != EAGAIN && errno != ENETDOWN)
		err(1, "receive");
	for (int i = 0; i < count; i++) {
		const struct sockaddr_ll *link = (void *)&from[i];
		struct sighting s = {.place = r->place};

		if (from[i].ss_family == AF_PACKET) {
			s.ifindex = link->sll_ifindex;
			s.type = link->sll_pkttype;
		}
		if (from[i].ss_family == AF_INET6)
			search_ipv6(&s, r->protocol, (void *)&from[i], buffers[i],
				    messages[i].msg_len);
		else
			search(&s, buffers[i], messages[i].msg_len);
	}
	return count == BURST;
}

/* Reads what there is. Returns whether there was anything within `ms`. */
static bool drain(int ms)
{
	struct epoll_event events[64];
	int count = epoll_wait(poll_fd, events, 64, ms);

	for (int i = 0; i < count; i++)
		while (receive(&receivers[events[i].data.u32]))
			;
	return count > 0;
}

static bool get(void *data, size_t length)
{
	return fread(data, 1, length, stdin) == length;
}

static void send_all(int fd, struct mmsghdr *messages, int count)
{
	for (int sent = 0; sent < count;) {
		int n = sendmmsg(fd, messages + sent, count - sent, 0);

		if (n > 0)
			sent += n;
		else if (errno == ENOBUFS || errno == EAGAIN)
			drain(1);
		else
			err(1, "send a frame of %zu bytes",
			    messages[sent].msg_hdr.msg_iov->iov_len);
	}
}

static void send_batch(uint32_t count)
{
	static char frames[BURST][FRAME_MAX];
	static struct iovec vectors[BURST];
	static struct mmsghdr messages[BURST];
	int waiting = 0, last = -1;

	for (uint32_t i = 0; i <= count; i++) {
		uint8_t sender = 0;
		uint16_t length = 0;

		if (i < count && (!get(&sender, 1) || !get(&length, 2) || length > FRAME_MAX ||
				  sender >= sender_count))
			errx(1, "no such frame");
		if (waiting && (i == count || waiting == BURST || sender != last)) {
			send_all(senders[last], messages, waiting);
			waiting = 0;
			while (drain(0))
				;
		}
		if (i == count)
			return;
		if (!get(frames[waiting], length))
			errx(1, "a frame is cut");
		vectors[waiting] = (struct iovec){frames[waiting], length};
		messages[waiting].msg_hdr =
		    (struct msghdr){.msg_iov = &vectors[waiting], .msg_iovlen = 1};
		waiting++;
		last = sender;
	}
}

static void count_lost(void)
{
	uint32_t info[SK_MEMINFO_VARS];

	lost = 0;
	for (int i = 0; i < receiver_count; i++) {
		socklen_t length = sizeof(info);

		/* wrong checksums count as lost there */
		if (receivers[i].protocol)
			continue;
		if (getsockopt(receivers[i].fd, SOL_SOCKET, SO_MEMINFO, info, &length))
			err(1, "SO_MEMINFO");
		lost += info[SK_MEMINFO_DROPS];
	}
}

static void end_batch(void)
{
	struct sighting end = {.place = 255};

	count_lost();
	end.id = lost;
	end.ifindex = quiet_sightings;
	put(&end, sizeof(end));
	quiet_sightings = 0;
	if (fflush(stdout))
		err(1, "stdout");
}

int main(int argc, char **argv)
{
	uint32_t count;

	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];

		if (!strcmp(argv[i], "send") && sender_count < MAX_SENDERS) {
			enter(value);
			senders[sender_count++] = packet_socket("eth0");
		} else if (!strcmp(argv[i], "watch")) {
			enter(value);
			receive_from(packet_socket(NULL), 0);
			place_count++;
		} else if (!strcmp(argv[i], "stack")) {
			enter(value);
			watch_stack();
			place_count++;
		} else if (!strcmp(argv[i], "quiet") && quiet_count < MAX_QUIET) {
			struct quiet *q = &quiets[quiet_count++];

			if (sscanf(value, "%hhu:%u:%hhu:%u", &q->place, &q->ifindex, &q->directions,
				   &q->senders) != 4)
				errx(1, "quiet %s", value);
		} else {
			errx(1, "%s %s", argv[i], value);
		}
	}
	while (get(&count, 4)) {
		send_batch(count);
		while (drain(0))
			;
		for (int i = 0; !count && i < SETTLES; i++) {
			usleep(SETTLE_US);
			while (drain(0))
				;
		}
		end_batch();
	}
	return 0;
}

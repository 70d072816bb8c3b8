// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* One HTTP/1.1 request to the agent over its unix socket, until a deadline. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include "text.h"

/* More than any answer of the agent has. */
#define MAX_ANSWER (4u << 20)

enum call_outcome {
	CALL_ANSWERED,
	/* There is no agent, or it has gone meanwhile. */
	CALL_UNREACHABLE,
	CALL_LATE,
};

struct call {
	const char *socket;
	/* In milliseconds of the monotonic clock. */
	int64_t deadline;
	/* The answer. */
	int status;
	struct span body;
	/* Holds the body. */
	struct text received;
	/* Why there is no answer. */
	struct text reason;
};

static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the descriptor is ready for `events`; false when the deadline has come. */
static inline bool await_ready(int fd, short events, int64_t deadline)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return false;
		if (poll(&poll_fd, 1, (int)left) > 0)
			return true;
	}
}

static inline enum call_outcome call_failed(struct call *call, const char *before, int error)
{
	text_add(&call->reason, before);
	text_add(&call->reason, call->socket);
	if (error == ENOENT || error == ENOTDIR)
		text_add(&call->reason, ": there is no such socket");
	else if (error == ECONNREFUSED)
		text_add(&call->reason, ": nothing listens");
	else if (error == EACCES || error == EPERM)
		text_add(&call->reason, ": permission denied: only root may");
	else
		text_add(&call->reason, ": "), text_add(&call->reason, strerror(error));
	return CALL_UNREACHABLE;
}

static inline enum call_outcome call_broken(struct call *call, const char *reason)
{
	text_add(&call->reason, "The agent at ");
	text_add(&call->reason, call->socket);
	text_add(&call->reason, " did not answer: ");
	text_add(&call->reason, reason);
	return CALL_UNREACHABLE;
}

/* connect() to a unix socket waits for a place in its queue, as long as sending may take. */
static inline enum call_outcome call_connect(struct call *call, int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int64_t left = call->deadline - now_ms();
	struct timeval timeout = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};

	if (strlen(call->socket) >= sizeof(address.sun_path))
		return call_failed(call, "Cannot reach the agent at ", ENAMETOOLONG);
	strcpy(address.sun_path, call->socket);
	if (left <= 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)))
		return CALL_LATE;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return CALL_ANSWERED;
	if (errno == EAGAIN)
		return CALL_LATE;
	call_failed(call, "Cannot reach the agent at ", errno);
	text_add(&call->reason, ": is it running? Start it with `pilus agent`; "
				"one that is starting says in its log what it waits for");
	return CALL_UNREACHABLE;
}

static inline enum call_outcome call_send(struct call *call, int fd, struct span request)
{
	while (request.begin < request.end) {
		ssize_t length;

		if (!await_ready(fd, POLLOUT, call->deadline))
			return CALL_LATE;
		length = send(fd, request.begin, span_length(request), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (length > 0)
			request.begin += length;
		else if (errno != EAGAIN && errno != EINTR)
			break; /* what it has answered says why */
	}
	return CALL_ANSWERED;
}

/* The number in a field of the head, which ends at `end`; -1 when there is none. */
static inline long head_number(const char *head, const char *end, const char *field)
{
	size_t length = strlen(field);

	for (const char *line = strchr(head, '\n'); line && line < end; line = strchr(line, '\n')) {
		line++;
		if (strncasecmp(line, field, length) == 0 && line[length] == ':')
			return strtol(line + length + 1, NULL, 10);
	}
	return -1;
}

/*
 * Finds status and body in what has been received; false while there is no head. The length that
 * the body will have goes to `length`, -1 when it ends with the connection.
 */
static inline bool call_parse(struct call *call, long *length)
{
	const char *text = text_string(&call->received);
	const char *end = strstr(text, "\r\n\r\n");

	if (!end || strncmp(text, "HTTP/1.1 ", 9) != 0)
		return false;
	call->status = atoi(text + 9);
	call->body = (struct span){end + 4, text + call->received.length};
	*length = head_number(text, end, "content-length");
	return true;
}

/* Receives until the answer is whole: an agent with much to do closes the connection later. */
static inline enum call_outcome call_receive(struct call *call, int fd)
{
	struct text *received = &call->received;

	while (received->length <= MAX_ANSWER) {
		char *room = text_room(received, 16 << 10);
		long body = -1;
		ssize_t length;

		if (!await_ready(fd, POLLIN, call->deadline))
			return CALL_LATE;
		length = recv(fd, room, 16 << 10, MSG_DONTWAIT);
		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (length < 0)
			return call_broken(call, strerror(errno));
		received->length += (size_t)length;
		if (call_parse(call, &body)) {
			if (body >= 0 && span_length(call->body) >= (size_t)body) {
				call->body.end = call->body.begin + body;
				return CALL_ANSWERED;
			}
			if (length == 0 && body < 0)
				return CALL_ANSWERED;
		} else if (length == 0 && received->length > 0) {
			return call_broken(call, "its answer is not HTTP");
		}
		if (length == 0)
			return call_broken(call, "the connection ended early");
	}
	return call_broken(call, "its answer has no end");
}

/* POSTs JSON to `path`. */
static inline enum call_outcome call_agent(struct call *call, const char *path, struct text *json)
{
	enum call_outcome outcome;
	struct text request = {};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return call_failed(call, "Cannot make a socket for ", errno);
	text_add(&request, "POST ");
	text_add(&request, path);
	text_add(&request, " HTTP/1.1\r\nhost: pilus\r\nconnection: close\r\n"
			   "content-type: application/json\r\ncontent-length: ");
	text_add_number(&request, json->length);
	text_add(&request, "\r\n\r\n");
	text_add_bytes(&request, json->bytes, json->length);
	outcome = call_connect(call, fd);
	if (outcome == CALL_ANSWERED)
		outcome = call_send(call, fd,
				    (struct span){request.bytes, request.bytes + request.length});
	if (outcome == CALL_ANSWERED)
		outcome = call_receive(call, fd);
	free(request.bytes);
	close(fd);
	return outcome;
}

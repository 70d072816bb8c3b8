// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Deletions that come while the agent is down: a file each, which the agent takes up when it is
 * back. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "text.h"

#define QUEUE_NAME "delete-queue"

/* Makes a directory and those above it; what is there stays. */
static inline void make_directories(const char *path)
{
	char *copy = strdup(path);

	for (char *at = copy; copy && (at = strchr(at + 1, '/'));) {
		*at = '\0';
		mkdir(copy, 0700);
		*at = '/';
	}
	if (copy)
		mkdir(copy, 0700);
	free(copy);
}

/* The queue's directory, which is no link; -1 with errno. */
static inline int open_queue(const char *state_dir)
{
	int state, queue;

	make_directories(state_dir);
	state = open(state_dir, O_DIRECTORY | O_PATH | O_CLOEXEC);
	if (state < 0)
		return -1;
	mkdirat(state, QUEUE_NAME, 0700);
	queue = openat(state, QUEUE_NAME, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	close(state);
	return queue;
}

/* Writes a new file; false with errno. */
static inline bool write_new(int directory, const char *name, const struct text *content)
{
	int fd =
	    openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool whole;
	int error;

	if (fd < 0)
		return false;
	whole = write(fd, content->bytes, content->length) == (ssize_t)content->length;
	error = whole ? 0 : errno ? errno : ENOSPC;
	if (close(fd) != 0 && whole)
		error = errno;
	errno = error;
	return error == 0;
}

/* A name that no other writer has. */
static inline bool random_name(char name[40])
{
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return false;
	*name++ = '.';
	for (size_t i = 0; i < sizeof(bytes); i++)
		name += sprintf(name, "%02x", bytes[i]);
	return true;
}

/* Leaves a deletion for the agent. The file is whole or not there. False with errno. */
static inline bool queue_delete(const char *state_dir, struct span container, struct span ifname)
{
	struct text content = {}, name = {};
	char draft[40];
	int directory = open_queue(state_dir), error;

	if (directory < 0 || !random_name(draft))
		return false;
	text_add(&content, "{\"containerId\":");
	text_add_json(&content, container);
	text_add(&content, ",\"ifname\":");
	text_add_json(&content, ifname);
	text_add(&content, "}");
	text_add_span(&name, container);
	text_add(&name, "@");
	text_add_span(&name, ifname);
	text_add(&name, ".json");
	errno = 0;
	if (write_new(directory, draft, &content) &&
	    renameat(directory, draft, directory, text_string(&name)) == 0)
		return true;
	error = errno;
	unlinkat(directory, draft, 0);
	errno = error;
	return false;
}

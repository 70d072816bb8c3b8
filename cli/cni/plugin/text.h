// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Text that grows, and JSON written into it. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct text {
	char *bytes;
	size_t length, capacity;
};

/* Part of somebody else's bytes. */
struct span {
	const char *begin, *end;
};

static inline size_t span_length(struct span span)
{
	return (size_t)(span.end - span.begin);
}

/* Room for `more` bytes at the end. */
static inline char *text_room(struct text *text, size_t more)
{
	size_t needed = text->length + more;

	if (needed > text->capacity) {
		size_t capacity = needed * 2 + 256;
		char *bytes = realloc(text->bytes, capacity);

		if (!bytes) {
			dprintf(STDERR_FILENO, "pilus: no memory\n");
			_exit(1);
		}
		text->bytes = bytes;
		text->capacity = capacity;
	}
	return text->bytes + text->length;
}

static inline void text_add_bytes(struct text *text, const char *bytes, size_t length)
{
	if (length == 0)
		return;
	memcpy(text_room(text, length), bytes, length);
	text->length += length;
}

static inline void text_add(struct text *text, const char *string)
{
	text_add_bytes(text, string, strlen(string));
}

static inline void text_add_span(struct text *text, struct span span)
{
	text_add_bytes(text, span.begin, span_length(span));
}

static inline void text_add_number(struct text *text, size_t number)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%zu", number);
	text_add(text, digits);
}

/* The NUL-terminated string; it is valid until the text grows. */
static inline const char *text_string(struct text *text)
{
	*text_room(text, 1) = '\0';
	return text->bytes;
}

/* The bytes as a JSON string. Bytes outside of ASCII stay as they are. */
static inline void text_add_json(struct text *text, struct span span)
{
	text_add(text, "\"");
	for (const char *at = span.begin; at < span.end; at++) {
		char escape[8];

		switch (*at) {
		case '"':
		case '\\':
			snprintf(escape, sizeof(escape), "\\%c", *at);
			break;
		case '\n':
			snprintf(escape, sizeof(escape), "\\n");
			break;
		case '\r':
			snprintf(escape, sizeof(escape), "\\r");
			break;
		case '\t':
			snprintf(escape, sizeof(escape), "\\t");
			break;
		default:
			if ((unsigned char)*at < ' ') {
				snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*at);
				break;
			}
			text_add_bytes(text, at, 1);
			continue;
		}
		text_add(text, escape);
	}
	text_add(text, "\"");
}

static inline struct span span_of(const char *string)
{
	return (struct span){string, string + strlen(string)};
}

/* The start of what somebody else wrote, for a message: a hundred bytes, ASCII alone. */
static inline void text_add_shown(struct text *text, struct span span)
{
	for (const char *at = span.begin; at < span.end && at < span.begin + 100; at++)
		text_add_bytes(text, (unsigned char)*at < 0x80 ? at : "?", 1);
}

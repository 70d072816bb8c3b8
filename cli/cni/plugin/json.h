// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* JSON (RFC 8259) as far as the plugin needs it: is it an object, and where are its members. */
#pragma once

#include <limits.h>
#include "text.h"

/* Levels that a document may have. */
#define JSON_DEPTH 1000

static inline void json_skip_space(struct span *rest)
{
	while (rest->begin < rest->end && memchr(" \t\r\n", *rest->begin, 4))
		rest->begin++;
}

/* Whether the rest starts with `word`, which is then behind. */
static inline bool json_skip_word(struct span *rest, const char *word)
{
	size_t length = strlen(word);

	if (span_length(*rest) < length || memcmp(rest->begin, word, length) != 0)
		return false;
	rest->begin += length;
	return true;
}

static inline size_t json_skip_digits(struct span *rest)
{
	const char *begin = rest->begin;

	while (rest->begin < rest->end && *rest->begin >= '0' && *rest->begin <= '9')
		rest->begin++;
	return (size_t)(rest->begin - begin);
}

static inline bool json_skip_number(struct span *rest)
{
	json_skip_word(rest, "-");
	if (!json_skip_word(rest, "0") && json_skip_digits(rest) == 0)
		return false;
	if (json_skip_word(rest, ".") && json_skip_digits(rest) == 0)
		return false;
	if (json_skip_word(rest, "e") || json_skip_word(rest, "E")) {
		if (!json_skip_word(rest, "+"))
			json_skip_word(rest, "-");
		return json_skip_digits(rest) > 0;
	}
	return true;
}

static inline int json_hex(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

/* Four digits of a \u escape; -1 when they are none. */
static inline int json_skip_unit(struct span *rest)
{
	int unit = 0;

	if (span_length(*rest) < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = json_hex(*rest->begin++);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static inline bool json_skip_string(struct span *rest)
{
	if (!json_skip_word(rest, "\""))
		return false;
	while (rest->begin < rest->end) {
		unsigned char byte = (unsigned char)*rest->begin++;

		if (byte == '"')
			return true;
		if (byte < ' ')
			return false;
		if (byte != '\\')
			continue;
		if (rest->begin == rest->end)
			return false;
		if (*rest->begin == 'u') {
			rest->begin++;
			if (json_skip_unit(rest) < 0)
				return false;
		} else if (!memchr("\"\\/bfnrt", *rest->begin++, 8)) {
			return false;
		}
	}
	return false;
}

static inline bool json_skip_value(struct span *rest, int depth);

/* What stands between the brackets: values after `[`, members after `{`. */
static inline bool json_skip_items(struct span *rest, bool members, int depth)
{
	const char *close = members ? "}" : "]";

	json_skip_space(rest);
	if (json_skip_word(rest, close))
		return true;
	do {
		json_skip_space(rest);
		if (members) {
			if (!json_skip_string(rest))
				return false;
			json_skip_space(rest);
			if (!json_skip_word(rest, ":"))
				return false;
		}
		if (!json_skip_value(rest, depth))
			return false;
	} while (json_skip_word(rest, ","));
	return json_skip_word(rest, close);
}

/* A value and the space around it; false when there is none. */
static inline bool json_skip_value(struct span *rest, int depth)
{
	bool valid;

	if (depth == 0)
		return false;
	json_skip_space(rest);
	if (rest->begin == rest->end)
		return false;
	switch (*rest->begin) {
	case '{':
	case '[':
		rest->begin++;
		valid = json_skip_items(rest, rest->begin[-1] == '{', depth - 1);
		break;
	case '"':
		valid = json_skip_string(rest);
		break;
	case 't':
		valid = json_skip_word(rest, "true");
		break;
	case 'f':
		valid = json_skip_word(rest, "false");
		break;
	case 'n':
		valid = json_skip_word(rest, "null");
		break;
	default:
		valid = json_skip_number(rest);
	}
	json_skip_space(rest);
	return valid;
}

/* Whether the text is one JSON value; the value without the space around it. */
static inline bool json_document(struct span text, struct span *value)
{
	struct span rest = text;

	json_skip_space(&rest);
	value->begin = rest.begin;
	if (!json_skip_value(&rest, JSON_DEPTH) || rest.begin != rest.end)
		return false;
	value->end = rest.end;
	while (value->end > value->begin && memchr(" \t\r\n", value->end[-1], 4))
		value->end--;
	return true;
}

static inline void json_add_utf8(struct text *text, unsigned int point)
{
	char bytes[4];
	size_t length = 0;

	if (point < 0x80) {
		bytes[length++] = (char)point;
	} else if (point < 0x800) {
		bytes[length++] = (char)(0xc0 | point >> 6);
	} else if (point < 0x10000) {
		bytes[length++] = (char)(0xe0 | point >> 12);
		bytes[length++] = (char)(0x80 | (point >> 6 & 0x3f));
	} else {
		bytes[length++] = (char)(0xf0 | point >> 18);
		bytes[length++] = (char)(0x80 | (point >> 12 & 0x3f));
		bytes[length++] = (char)(0x80 | (point >> 6 & 0x3f));
	}
	if (point >= 0x80)
		bytes[length++] = (char)(0x80 | (point & 0x3f));
	text_add_bytes(text, bytes, length);
}

/* The text that a valid string stands for. Halves of surrogate pairs become U+FFFD. */
static inline void json_add_string(struct text *text, struct span string)
{
	struct span rest = {string.begin + 1, string.end - 1};

	while (rest.begin < rest.end) {
		static const char escapes[] = "bfnrt", controls[] = "\b\f\n\r\t";
		const char *found;
		int unit, low;

		if (*rest.begin != '\\') {
			text_add_bytes(text, rest.begin++, 1);
			continue;
		}
		rest.begin += 2;
		found = memchr(escapes, rest.begin[-1], sizeof(escapes) - 1);
		if (rest.begin[-1] != 'u') {
			text_add_bytes(text, found ? &controls[found - escapes] : &rest.begin[-1],
				       1);
			continue;
		}
		unit = json_skip_unit(&rest);
		if ((unit & 0xfc00) == 0xd800 && rest.end - rest.begin >= 6 &&
		    rest.begin[0] == '\\' && rest.begin[1] == 'u') {
			struct span behind = {rest.begin + 2, rest.end};

			low = json_skip_unit(&behind);
			if ((low & 0xfc00) == 0xdc00) {
				rest.begin = behind.begin;
				json_add_utf8(text,
					      0x10000u + ((unit & 0x3ffu) << 10) + (low & 0x3ffu));
				continue;
			}
		}
		json_add_utf8(text, (unit & 0xf800) == 0xd800 ? 0xfffd : (unsigned int)unit);
	}
}

/* The value of a valid object's member, of several with one name the last; false when it has none.
 */
static inline bool json_member(struct span object, const char *name, struct span *value)
{
	struct span rest = {object.begin + 1, object.end - 1};
	struct text key = {};
	bool found = false;

	json_skip_space(&rest);
	while (rest.begin < rest.end) {
		struct span string = {rest.begin, rest.begin}, at;

		json_skip_string(&rest);
		string.end = rest.begin;
		json_skip_space(&rest);
		json_skip_word(&rest, ":");
		json_skip_space(&rest);
		at.begin = rest.begin;
		json_skip_value(&rest, JSON_DEPTH);
		at.end = rest.begin;
		while (memchr(" \t\r\n", at.end[-1], 4))
			at.end--;
		json_skip_word(&rest, ",");
		json_skip_space(&rest);
		key.length = 0;
		json_add_string(&key, string);
		if (key.length == strlen(name) && memcmp(key.bytes, name, key.length) == 0) {
			*value = at;
			found = true;
		}
	}
	free(key.bytes);
	return found;
}
